// Filters, tests and methods of the Jinja evaluator.
#ifndef TERN_COMPILER_TEXT_JINJABUILTINS_H
#define TERN_COMPILER_TEXT_JINJABUILTINS_H

#include "compiler/Text/JinjaValue.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <optional>

namespace tern::jinja {

/// Each returns nothing when there is no such function or it does not take such arguments.
std::optional<Value> applyFilter(llvm::StringRef name, const Value &input,
                                 llvm::ArrayRef<Value> arguments);
std::optional<bool> applyTest(llvm::StringRef name, const Value &input,
                              llvm::ArrayRef<Value> arguments);
std::optional<Value> callMethod(const Value &object, llvm::StringRef name,
                                llvm::ArrayRef<Value> arguments);

/// str.strip() of Python on both sides or one.
std::string strip(llvm::StringRef text, bool left, bool right);

} // namespace tern::jinja

#endif
