// How much of an artifact's weights each CPU variant shares with others and has for itself.
//
// Variants share a weight where they want the same layout of it. Header only and without LLVM:
// ternc counts what it has built, `tern inspect` what a file says, hostile files included.
#ifndef TERN_COMPILER_ARTIFACT_VARIANTWEIGHTS_H
#define TERN_COMPILER_ARTIFACT_VARIANTWEIGHTS_H

#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

namespace tern {

class VariantWeights {
public:
  struct Bytes {
    uint64_t shared = 0; ///< of tensors that another variant reads too
    uint64_t own = 0;    ///< of tensors that no other variant reads
  };

  /// Packed bytes of the tensors that variants share out.
  explicit VariantWeights(std::vector<uint64_t> tensorBytes)
      : tensorBytes(std::move(tensorBytes)) {}

  /// The next variant; it reads these tensors. Numbers may repeat; one of no tensor is left out.
  void addVariant(const std::vector<uint32_t> &tensors) {
    std::set<uint32_t> &distinct = readBy.emplace_back();
    for (uint32_t tensor : tensors)
      if (tensor < tensorBytes.size())
        distinct.insert(tensor);
  }

  /// Of a variant, once all have been added.
  Bytes of(size_t variant) const {
    Bytes bytes;
    for (uint32_t tensor : readBy[variant]) {
      size_t readers = 0;
      for (const std::set<uint32_t> &tensors : readBy)
        readers += tensors.count(tensor);
      (readers > 1 ? bytes.shared : bytes.own) += tensorBytes[tensor];
    }
    return bytes;
  }

private:
  std::vector<uint64_t> tensorBytes;
  std::vector<std::set<uint32_t>> readBy; ///< [variant]
};

} // namespace tern
#endif
