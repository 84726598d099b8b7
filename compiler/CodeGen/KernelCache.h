// A directory of compiled kernels, addressed by what they were compiled from.
//
// An entry is the SHA-256 of its payload followed by the payload, written under a temporary name
// and renamed: concurrent compilers never see half an entry, and a damaged one is a miss and is
// removed. The directory is bounded in size; the entries used longest ago go first.
#ifndef TERN_COMPILER_CODEGEN_KERNELCACHE_H
#define TERN_COMPILER_CODEGEN_KERNELCACHE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <optional>
#include <string>

namespace tern {

class KernelCache {
public:
  static constexpr uint64_t defaultLimit = 256000000;

  /// A cache in `directory`, which is created by the first store. An empty name is a cache that
  /// never holds anything.
  explicit KernelCache(std::string directory, uint64_t limitBytes = defaultLimit);

  /// $TERN_CACHE_DIR if set (set but empty: no cache), else $XDG_CACHE_HOME/tern or ~/.cache/tern.
  static std::string defaultDirectory();

  /// The payload stored under `key` (hexadecimal), or nullopt.
  std::optional<std::string> load(llvm::StringRef key) const;

  /// Stores `payload` under `key`. A failure leaves the cache as it was and can be ignored.
  llvm::Error store(llvm::StringRef key, llvm::StringRef payload) const;

  /// Removes the entries used longest ago until the rest fits the limit, and temporaries that
  /// killed compilers left.
  void trim() const;

  bool isEnabled() const { return !directory.empty(); }

private:
  std::string pathOf(llvm::StringRef key) const;

  std::string directory;
  uint64_t limitBytes;
};

} // namespace tern
#endif
