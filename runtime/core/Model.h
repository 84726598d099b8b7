// A loaded artifact: verified table, the chosen variant's code in memory, pointers to its weights.
// Immutable after loading; any number of threads may use it at once.
#ifndef TERN_RUNTIME_CORE_MODEL_H
#define TERN_RUNTIME_CORE_MODEL_H

#include "runtime/core/Artifact.h"
#include "runtime/core/CpuFeatures.h"
#include "runtime/core/Image.h"
#include "runtime/core/KernelABI.h"
#include "runtime/core/Memory.h"
#include "runtime/core/Source.h"
#include "runtime/core/StreamLayout.h"

namespace tern::runtime {

/// Numeric values are those of tern_weights_mode.
enum class WeightsMode : uint32_t { automatic = 0, map = 1, copy = 2, stream = 3 };

/// Kernels that are part of the application: see tern_linked_code in tern/tern.h.
struct LinkedCode {
  const char *target = nullptr;
  const uint8_t *digest = nullptr; ///< of the variant's image
  const TernKernelFunction *kernels = nullptr;
  size_t kernelCount = 0;
};

struct ModelOptions {
  WeightsMode weights = WeightsMode::automatic;
  uint64_t streamBytes = 0;     ///< of weights in the memory of a session, with WeightsMode::stream
  const char *target = nullptr; ///< variant to use whatever the order; null: the first that runs
  LinkedCode linked;            ///< kernels to run instead of the variant's image, if any
};

/// Where notices go; silent by default.
struct Log {
  void (*write)(void *context, int level, const char *message) = nullptr;
  void *context = nullptr;

  [[gnu::format(printf, 2, 3)]] void info(const char *format, ...) const;
};

class Model {
public:
  /// Loads an artifact; `result` is default-constructed. Takes the source.
  static Status load(Source source, const ModelOptions &options, const Allocator &allocator,
                     const Log &log, Model &result);

  const fb::Artifact &artifact() const { return *table; }
  /// SHA-256 that tells this artifact from all others.
  const uint8_t *digest() const { return table.digest(); }
  const fb::Variant &variant() const { return *chosen; }
  /// The chosen variant's plan of a function, or null.
  const fb::Plan *plan(const char *function) const;
  const Allocator &allocator() const { return memory; }
  const Log &log() const { return logger; }

  TernKernelFunction kernel(uint32_t index) const;
  /// Bytes of a tensor that a plan of the chosen variant uses. With a stream layout only those of
  /// units that are used in place.
  const uint8_t *tensorData(uint32_t index) const;
  /// The bytes of a unit that a plan of the chosen variant uses, or null if they are not in place.
  const uint8_t *unitInPlace(uint32_t index) const { return unitData[index]; }
  /// Where sessions have the weights of `forward`; null unless they are streamed.
  const StreamLayout *streamLayout() const { return streams ? &layout : nullptr; }
  /// Reads a unit and compares it with its digest.
  Status readUnit(uint32_t index, uint8_t *destination) const;
  /// Asks the system to bring a mapped unit into memory, unless it seems to be there.
  void prefetchUnit(uint32_t index) const;

  struct Figures {
    uint64_t weightBytes = 0;         ///< all units
    uint64_t mappedWeightBytes = 0;   ///< of the used units, in place
    uint64_t copiedWeightBytes = 0;   ///< of the used units, in private memory of the model
    uint64_t weightBytesPerToken = 0; ///< read by `forward` for one token
    uint64_t kvBytesPerToken = 0;
  };
  const Figures &figures() const { return measured; }
  uint64_t imageBytes() const { return image.size(); }

private:
  Status chooseVariant(const char *target);
  Status loadCode(const LinkedCode &linked);
  Status loadWeights(WeightsMode mode);
  Status prepareStream(uint64_t budget);
  Status markUsedUnits(Array<uint8_t> &used) const;
  void measure();

  Allocator memory;
  Log logger;
  Source source;
  ArtifactTable table;
  const fb::Variant *chosen = nullptr;
  Image image;
  const TernKernelFunction *linkedKernels = nullptr; ///< instead of the image
  Block copiedWeights;
  StreamLayout layout;
  bool streams = false;
  Array<const uint8_t *> unitData; ///< null for units that no plan of the variant uses
  Figures measured;
};

/// Checks a whole artifact: every variant, every weight unit's digest. Maps nothing executable.
/// `table` then holds its tables, for checks of parts that the core does not know.
Status verifyArtifact(const Source &source, const Allocator &allocator, ArtifactTable &table);

} // namespace tern::runtime

#endif
