// The syntax tree of the part of Jinja that chat templates use, and its parser.
//
// Follows Jinja 3 as `transformers` configures it (trim_blocks and lstrip_blocks on, loop controls,
// the generation tag). Macros, imports and inheritance are not read: a template with them is
// reported as not understood. Nothing here evaluates; see JinjaEvaluator.h.
#ifndef TERN_COMPILER_TEXT_JINJASYNTAX_H
#define TERN_COMPILER_TEXT_JINJASYNTAX_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tern::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct NamedArgument {
  std::string name;
  ExpressionPtr value;
};

struct Expression {
  enum class Kind {
    string,     // text
    integer,    // number
    boolean,    // number
    none,       //
    list,       // operands
    dictionary, // operands: key, value, key, value ...
    name,       // text
    attribute,  // operands[0].text
    index,      // operands[0][operands[1]]
    slice,      // operands[0][operands[1]:operands[2]:operands[3]], null where absent
    call,       // operands[0](operands[1...], named)
    filter,     // operands[0] | text(operands[1...], named)
    test,       // operands[0] is text operands[1...]
    logicalNot, // operands[0]
    negate,     // operands[0]
    binary,     // operands[0] text operands[1]
    conditional // operands[1] if operands[0] else operands[2], null where absent
  };
  Kind kind;
  std::string text;
  int64_t number = 0;
  std::vector<ExpressionPtr> operands;
  std::vector<NamedArgument> named;
};

struct Statement {
  enum class Kind {
    text,        // text
    output,      // {{ expression }}
    condition,   // body if expression, else otherwise
    loop,        // for targets in expression [if filter]: body, otherwise when empty
    set,         // targets[0] = expression; targets[1], if any, is an attribute of it
    setBlock,    // targets[0] = what body renders
    block,       // body
    loopBreak,   //
    loopContinue //
  };
  Kind kind = Kind::block;
  std::string text;
  ExpressionPtr expression;
  ExpressionPtr filter;
  std::vector<std::string> targets;
  std::vector<Statement> body;
  std::vector<Statement> otherwise;
};

/// Fails with what was not understood, and where.
llvm::Expected<std::vector<Statement>> parse(llvm::StringRef source);

} // namespace tern::jinja

#endif
