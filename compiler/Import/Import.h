// Entry points of the importers: a model file becomes a module of the tern dialect.
#ifndef TERN_COMPILER_IMPORT_IMPORT_H
#define TERN_COMPILER_IMPORT_IMPORT_H

#include "compiler/Import/KvElement.h"
#include "compiler/Text/TokenizerSpec.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <optional>
#include <string>
#include <vector>

namespace tern {

struct ImportOptions {
  KvElement kv = KvElement::F16;
  /// Elements of a block of I2_S: 128 as bitnet.cpp writes it on x86, 64 as on Arm. Files do not
  /// say.
  unsigned i2sBlock = 128;
  /// Threads that scan 2-bit tensors.
  unsigned threads = 1;
};

struct ImportedModel {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  /// What `index` of `#tern.file` numbers.
  std::vector<std::string> inputFiles;
  /// Absent when the file has none this compiler knows; `tokenizerNote` then says why.
  std::optional<TokenizerSpec> tokenizer;
  std::string tokenizerNote;
  /// Where the compiled model is less than the file's: one line each.
  std::vector<std::string> notes;
  /// SHA-256 (hexadecimal) of the file's header: metadata and tensor table, of each part in order.
  /// The weights' own digests are in the artifact.
  std::string sourceDigest;
};

/// Reads a GGUF file (any part of a split one) into `context`, which must have the tern dialect
/// loaded or registered. The module holds weights, caches and `@forward`; its attributes are
///   tern.metadata                 dictionary of strings: architecture, name, licence, ...
///   tern.context_length           i64
///   tern.vocabulary_size          i64
///   tern.activation_quantization  "int8-per-token" or absent
/// Errors name the file, the key or tensor, what was found and what was expected.
llvm::Expected<ImportedModel> importGGUF(mlir::MLIRContext &context, llvm::StringRef path,
                                         const ImportOptions &options = {});

} // namespace tern
#endif
