// The two forms of tern inspect, told apart by the file's first bytes.
#ifndef TERN_TOOLS_TERN_INSPECT_H
#define TERN_TOOLS_TERN_INSPECT_H

#include "tools/tern/Options.h"

#include <nlohmann/json.hpp>

namespace tern::cli {

using Json = nlohmann::ordered_json;

/// An artifact: what it is, what it holds, what it needs in memory. Its code is not executed, and
/// need not be for this CPU.
Json describeArtifact(const EngineOptions &options);
void printArtifact(const Json &artifact);

/// The header of a GGUF file, and of all parts if it is split.
Json describeGguf(const std::string &path);
void printGguf(const Json &gguf);

/// "name             text" on stdout.
void printField(const std::string &name, const std::string &text);

} // namespace tern::cli

#endif
