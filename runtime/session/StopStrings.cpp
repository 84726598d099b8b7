#include "runtime/session/StopStrings.h"

#include <cstring>

using namespace tern;
using namespace tern::runtime;

Status StopStrings::assign(const char *const *texts, size_t size) {
  if (size > maxCount)
    return Status::error(StatusCode::outOfRange, "%zu stop strings, at most %zu are possible", size,
                         maxCount);
  for (size_t i = 0; i < size; ++i) {
    if (!texts || !texts[i] || !texts[i][0])
      return Status::error(StatusCode::invalidArgument,
                           "stop string %zu is empty; every text contains it", i);
    if (const size_t length = strlen(texts[i]); length > maxLength)
      return Status::error(StatusCode::outOfRange,
                           "stop string %zu has %zu bytes, at most %zu are possible", i, length,
                           maxLength);
  }
  count = size;
  for (size_t i = 0; i < size; ++i) {
    lengths[i] = uint16_t(strlen(texts[i]));
    memcpy(characters[i], texts[i], lengths[i]);
  }
  return {};
}

StopStrings::Split StopStrings::split(std::string_view text) const {
  for (size_t at = 0; at < text.size(); ++at) {
    const std::string_view rest = text.substr(at);
    bool begins = false;
    for (size_t i = 0; i < count; ++i) {
      const std::string_view stop = get(i);
      const size_t compared = stop.size() < rest.size() ? stop.size() : rest.size();
      if (memcmp(stop.data(), rest.data(), compared) != 0)
        continue;
      if (compared == stop.size())
        return {at, true};
      begins = true;
    }
    if (!begins)
      continue;
    // A shorter stop string may still end within the rest.
    for (size_t later = at + 1; later < text.size(); ++later)
      for (size_t i = 0; i < count; ++i)
        if (text.substr(later, get(i).size()) == get(i))
          return {later, true};
    return {at, false};
  }
  return {text.size(), false};
}
