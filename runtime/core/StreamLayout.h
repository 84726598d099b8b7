// Weights that may take only so much memory: which a session keeps, and which pass through two
// buffers as the plan fetches them.
//
// A plan fetches the units of weights in a fixed order, so every unit has a fixed place and the
// next ones can be read while the present one is used. What is kept saves its bytes in every call,
// so as much is kept as leaves room for two buffers of the largest unit that is not. Kept units of
// one size are spread over the plan: reading goes on while they are used.
//
// Weights that a plan uses without fetching them (rows of an embedding, experts: which of their
// bytes are needed shows only then) are used where the file is mapped, and kept where it is not.
#ifndef TERN_RUNTIME_CORE_STREAMLAYOUT_H
#define TERN_RUNTIME_CORE_STREAMLAYOUT_H

#include "runtime/core/Artifact.h"

namespace tern::runtime {

class StreamLayout {
public:
  static constexpr uint32_t buffers = 2;
  static constexpr uint32_t none = UINT32_MAX;

  enum class Place : uint8_t {
    unused,
    mapped,
    kept,    ///< at `offset` from the session's creation on
    streamed ///< at `offset` from its fetch to its release
  };
  struct Unit {
    uint64_t bytes;   ///< with the padding behind it
    uint64_t offset;  ///< in the session's memory
    uint32_t fetch;   ///< number of the plan's command; `none`: never fetched
    uint32_t release; ///< `none`: not before the end
    uint32_t number;  ///< of a streamed unit, in the order of fetching
    Place place;
    bool usedInPlace; ///< by commands outside of [fetch, release], or mapped altogether

    /// `none` is behind all commands.
    bool isFetchedAt(uint32_t command) const { return fetch < command && command < release; }
  };

  /// `artifact` has passed the checks of Verify.h, `plan` is one of its. `mapped`: the file's bytes
  /// are in place. Fails if `budget` bytes are too few, with the least number that would do.
  Status compute(const fb::Artifact &artifact, const fb::Plan &plan, bool mapped, uint64_t budget,
                 const Allocator &allocator);

  const Unit &unit(uint32_t index) const { return units[index]; }
  uint32_t unitCount() const { return uint32_t(units.size()); }
  /// Streamed units, in the order of fetching.
  const Array<uint32_t> &sequence() const { return streamed; }
  /// Which buffer a streamed unit passes through.
  static uint32_t bufferOf(uint32_t number) { return number % buffers; }
  uint64_t keptBytes() const { return kept; }
  uint64_t bufferBytes() const { return largest; }
  /// What a session takes: kept units, then the buffers.
  uint64_t totalBytes() const { return kept + (streamed.size() ? buffers * largest : 0); }

private:
  void readPlan(const fb::Plan &plan);
  void place(const fb::Plan &plan, bool mapped);
  Status choose(uint64_t budget);
  void setOffsets();

  Array<Unit> units;
  Array<uint32_t> streamed; ///< while it is chosen among them: all that may be
  uint64_t kept = 0, largest = 0;
};

} // namespace tern::runtime

#endif
