// Importance matrices: how much each input column of a weight matters, measured over a text as the
// mean square of the activations, by llama.cpp's llama-imatrix or by --calibration.
#ifndef TERN_COMPILER_IMPORT_IMPORTANCEMATRIX_H
#define TERN_COMPILER_IMPORT_IMPORTANCEMATRIX_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace tern {

class ImportanceMatrix {
public:
  /// Without entries; `name` is that of where they come from, in messages.
  explicit ImportanceMatrix(llvm::StringRef name) : path(name) {}

  /// Reads either form that llama-imatrix has written: GGUF (`general.type` "imatrix", tensors
  /// NAME.in_sum2 and NAME.counts) or the older binary file. Errors name the file and the entry.
  static llvm::Expected<ImportanceMatrix> open(llvm::StringRef path);
  /// The same from memory; `name` is that of the file in messages.
  static llvm::Expected<ImportanceMatrix> parse(llvm::ArrayRef<uint8_t> bytes,
                                                llvm::StringRef name);

  /// The importance of a weight's columns, finite and at least 0; empty if the file has none. Parts
  /// of a joined tensor (attn_q of attn_qkv, ffn_gate of ffn_up) have that of the whole.
  llvm::ArrayRef<float> find(llvm::StringRef weight) const;

  size_t size() const { return entries.size(); }

  /// Fails if a mean is negative or not finite, or the name is there already.
  llvm::Error add(llvm::StringRef name, std::vector<float> means);

private:
  llvm::Error readGGUF(llvm::ArrayRef<uint8_t> bytes);
  llvm::Error readBinary(llvm::ArrayRef<uint8_t> bytes);

  std::string path;
  llvm::StringMap<std::vector<float>> entries;
};

} // namespace tern
#endif
