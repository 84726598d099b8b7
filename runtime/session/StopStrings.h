// Texts that end a generation, found in a stream across the borders of its tokens.
//
// The end of the text so far that could be the beginning of a stop string is held back, so that no
// part of a stop string is ever given out.
#ifndef TERN_RUNTIME_SESSION_STOPSTRINGS_H
#define TERN_RUNTIME_SESSION_STOPSTRINGS_H

#include "runtime/core/Status.h"

#include <cstddef>
#include <string_view>

namespace tern::runtime {

class StopStrings {
public:
  static constexpr size_t maxCount = 16;
  static constexpr size_t maxLength = 256; ///< bytes of one

  /// Replaces all; copies. Fails without a change if there are too many, or one is empty or too
  /// long.
  Status assign(const char *const *texts, size_t size);
  bool empty() const { return count == 0; }

  struct Split {
    size_t given;       ///< bytes of the text that can be given out
    bool stops = false; ///< a stop string begins there; otherwise the rest, shorter than maxLength,
                        ///< is to be held back
  };
  Split split(std::string_view text) const;

private:
  std::string_view get(size_t i) const { return {characters[i], lengths[i]}; }

  size_t count = 0;
  uint16_t lengths[maxCount] = {};
  char characters[maxCount][maxLength];
};

} // namespace tern::runtime

#endif
