// Builds artifacts for tests: a toy language model whose every record a test may change before the
// file is written with correct digests, as a hostile author would.
#ifndef TERN_TEST_UNIT_RUNTIME_TOYARTIFACT_H
#define TERN_TEST_UNIT_RUNTIME_TOYARTIFACT_H

#include "tern/tern.h"
#include "tern_generated.h"
#include "test/unit/runtime/ToyModel.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace tern::test {

/// Bytes at a 64-byte boundary, without slack behind them that could hide an access past the end.
class AlignedBytes {
public:
  explicit AlignedBytes(size_t size) : memory(allocate(size), &std::free), count(size) {}
  AlignedBytes(const AlignedBytes &other) : AlignedBytes(other.count) {
    std::copy(other.data(), other.data() + count, data());
  }
  AlignedBytes(AlignedBytes &&) = default;
  AlignedBytes(const uint8_t *first, size_t size) : AlignedBytes(size) {
    std::copy(first, first + size, data());
  }

  uint8_t *data() { return memory.get(); }
  const uint8_t *data() const { return memory.get(); }
  size_t size() const { return count; }
  uint8_t &operator[](size_t i) { return data()[i]; }

private:
  static uint8_t *allocate(size_t size) {
    void *result = nullptr;
    return posix_memalign(&result, 64, size ? size : 1) ? nullptr : static_cast<uint8_t *>(result);
  }
  std::unique_ptr<uint8_t, decltype(&std::free)> memory;
  size_t count;
};

/// Rows [vocabulary][width] of the toy's one weight.
std::vector<float> toyTable();

/// The image of ToyKernels.c.
const std::vector<uint8_t> &toyImage();
/// Address of an exported function in an image.
uint64_t imageSymbol(const std::vector<uint8_t> &image, const std::string &name);

/// The records of the toy; offsets, sizes and digests are filled in by writeArtifact.
struct ToyArtifact {
  ToyArtifact();

  fb::ArtifactT table;
  std::vector<std::vector<uint8_t>> images;  ///< one per variant
  std::vector<std::vector<uint8_t>> weights; ///< one per unit

  fb::VariantT &variant() { return *table.variants[0]; }
  fb::PlanT &plan() { return *table.variants[0]->plans[0]; }
  /// Number of the plan's buffer with a name.
  uint32_t buffer(const std::string &name) const;

  /// The file. Segments and digests that a test has set before (non-zero size) are kept.
  AlignedBytes write();
};

/// Replaces the digest of the table part, after its bytes have been changed.
void redigest(AlignedBytes &file);

/// Logits of the last of `tokens`, by the definition in ToyKernels.c.
std::vector<float> referenceLogits(const std::vector<int32_t> &tokens);

/// Handles with their lifetime.
struct Runtime {
  explicit Runtime(uint32_t threads = 1);
  ~Runtime() { tern_runtime_destroy(&handle); }
  tern_runtime *handle = nullptr;
};
struct LoadedModel {
  explicit LoadedModel(AlignedBytes bytes, const tern_model_options *options = nullptr);
  ~LoadedModel() { tern_model_destroy(&handle); }
  Runtime runtime;
  AlignedBytes file;
  tern_model *handle = nullptr;
  tern_error error = TERN_ERROR_INIT;
};
struct ToySession {
  explicit ToySession(tern_model *model, uint32_t slots = 1, uint32_t context = 0,
                      uint32_t threads = 1);
  ~ToySession() { tern_session_destroy(&handle); }
  tern_session *handle = nullptr;
  tern_error error = TERN_ERROR_INIT;
};

} // namespace tern::test

#endif
