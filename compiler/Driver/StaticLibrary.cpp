#include "compiler/Driver/StaticLibrary.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace tern {

StaticLibraryPaths::StaticLibraryPaths(StringRef output) {
  output.consume_back(".tern");
  name = sys::path::filename(output).str();
  for (char c : name)
    prefix += isAlnum(c) || c == '_' ? c : '_';
  if (prefix.empty() || isDigit(prefix.front()))
    prefix = "_" + prefix;
  SmallString<128> libraryPath(sys::path::parent_path(output));
  sys::path::append(libraryPath, "lib" + name + ".a");
  artifact = (output + ".tern").str();
  library = libraryPath.str().str();
  header = (output + ".h").str();
}

std::string linkedCodeHeader(const StaticLibraryPaths &paths, const fb::VariantT &variant,
                             const KernelLibrary &library, StringRef producer) {
  std::string text;
  raw_string_ostream out(text);
  const std::string &prefix = paths.prefix;
  out << "/* The kernels of " << paths.name << ".tern for " << variant.target << ", in lib"
      << paths.name << ".a. Made by " << producer << "; goes\n"
      << " * with the artifact of the same compilation alone. Give tern_model_options.linked_code\n"
      << " * the address of " << prefix << "_code. */\n"
      << "#ifndef TERN_LINKED_" << prefix << "\n#define TERN_LINKED_" << prefix
      << "\n\n#include \"tern/tern.h\"\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n";
  StringSet<> seen;
  for (const std::string &entry : library.entries)
    if (seen.insert(entry).second)
      out << "void " << entry
          << "(const struct TernArgs *arguments, int32_t first, int32_t last);\n";
  out << "#ifdef __cplusplus\n}\n#endif\n\nstatic const tern_kernel_function " << prefix
      << "_kernels[] = {\n";
  for (const std::string &entry : library.entries)
    out << "    " << entry << ",\n";
  out << "};\n\nstatic const tern_linked_code " << prefix
      << "_code = {\n    sizeof(tern_linked_code),\n    \"" << variant.target << "\",\n    {";
  for (auto [i, byte] : enumerate(*variant.code_digest->bytes()))
    out << (i == 0 ? "" : i % 12 == 0 ? ",\n     " : ", ") << format("0x%02x", byte);
  out << "},\n    " << prefix << "_kernels,\n    " << library.entries.size() << ",\n};\n\n#endif\n";
  return text;
}

} // namespace tern
