// --prompt-cache: the evaluated prompt of one run, kept in a file for the next.
#ifndef TERN_TOOLS_TERN_PROMPTCACHE_H
#define TERN_TOOLS_TERN_PROMPTCACHE_H

#include "tools/tern/Model.h"

#include <string>
#include <vector>

namespace tern::cli {

class PromptCache {
public:
  explicit PromptCache(std::string path) : path(std::move(path)) {}

  /// Loads the file into slot 0, if there is one. Throws InputError for one that is damaged, or
  /// that is no saved slot of this model.
  void load(tern_session *session);
  /// Writes slot 0, which holds `prompt`, unless the file already holds all of it.
  void save(tern_session *session, const std::vector<int32_t> &prompt) const;

private:
  std::string path;
  std::vector<int32_t> loaded; ///< the file's tokens
};

} // namespace tern::cli

#endif
