// What this process takes of the machine's memory, from /proc/self.
#ifndef TERN_TOOLS_TERN_MEMORYUSE_H
#define TERN_TOOLS_TERN_MEMORYUSE_H

#include <cstdint>

namespace tern::cli {

/// Largest resident set so far, file mappings included. 0 if the system does not say.
uint64_t peakResidentBytes();

/// Memory that belongs to this process alone now: anonymous pages, heap, stacks, written copies of
/// file pages. Mapped weights are not in it, the system can share and drop those.
uint64_t privateBytes();

} // namespace tern::cli

#endif
