// Standard input and output as whole texts and as a stream, with every failure reported.
#ifndef TERN_TOOLS_TERN_STREAM_H
#define TERN_TOOLS_TERN_STREAM_H

#include <string>
#include <string_view>

namespace tern::cli {

/// All of standard input, any bytes.
std::string readStandardInput();
/// Writes to standard output; with `flush` the reader sees it at once.
void writeStandardOutput(std::string_view bytes, bool flush = false);
/// Flushes; a full disk behind standard output shows only here.
void finishStandardOutput();

} // namespace tern::cli

#endif
