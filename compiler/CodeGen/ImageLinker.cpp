#include "compiler/CodeGen/ImageLinker.h"
#include "lld/Common/Driver.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <mutex>

LLD_HAS_DRIVER(elf)

using namespace llvm;

namespace tern {
namespace {

/// A private directory that disappears with its contents.
class ScratchDirectory {
public:
  static Expected<ScratchDirectory> create() {
    ScratchDirectory directory;
    if (std::error_code code = sys::fs::createUniqueDirectory("tern-link", directory.path))
      return createStringError(code, "cannot create a temporary directory for linking: " +
                                         code.message());
    return directory;
  }
  ScratchDirectory(ScratchDirectory &&other) noexcept : path(std::move(other.path)) {
    other.path.clear();
  }
  ScratchDirectory &operator=(ScratchDirectory &&) = delete;
  ~ScratchDirectory() {
    if (!path.empty())
      (void)sys::fs::remove_directories(path);
  }
  std::string file(const Twine &name) const { return (path + "/" + name).str(); }

private:
  ScratchDirectory() = default;
  SmallString<128> path;
};

Error writeFile(const std::string &path, StringRef bytes) {
  std::error_code code;
  raw_fd_ostream stream(path, code);
  if (!code) {
    stream << bytes;
    stream.close();
    code = stream.error();
    stream.clear_error();
  }
  if (code)
    return createStringError(code, "cannot write " + path + ": " + code.message());
  return Error::success();
}

Error runLinker(ArrayRef<std::string> arguments) {
  SmallVector<const char *> pointers;
  for (const std::string &argument : arguments)
    pointers.push_back(argument.c_str());
  std::string messages;
  raw_string_ostream stream(messages);
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  const lld::DriverDef drivers[] = {{lld::Gnu, &lld::elf::link}};
  lld::Result result = lld::lldMain(pointers, stream, stream, drivers);
  if (result.retCode != 0)
    return createStringError("linking the kernels failed: " + StringRef(messages).trim());
  return Error::success();
}

Expected<StringMap<uint64_t>> readEntries(StringRef image) {
  Expected<std::unique_ptr<object::ObjectFile>> file =
      object::ObjectFile::createELFObjectFile(MemoryBufferRef(image, "image"));
  if (!file)
    return file.takeError();
  StringMap<uint64_t> entries;
  for (object::ELFSymbolRef symbol :
       cast<object::ELFObjectFileBase>(**file).getDynamicSymbolIterators()) {
    Expected<StringRef> name = symbol.getName();
    if (!name)
      return name.takeError();
    entries[*name] = symbol.getValue() ? *symbol.getValue() : 0;
  }
  return entries;
}

} // namespace

Expected<LinkedImage> linkImage(ArrayRef<LinkInput> inputs) {
  Expected<ScratchDirectory> directory = ScratchDirectory::create();
  if (!directory)
    return directory.takeError();
  std::string image = directory->file("image"), script = directory->file("exports");
  // The entries are the only roots; sections nothing reaches from them are dropped.
  std::vector<std::string> arguments = {"ld.lld",
                                        "-shared",
                                        "--no-undefined",
                                        "--gc-sections",
                                        "-s",
                                        "--build-id=none",
                                        "--hash-style=sysv",
                                        "--threads=1",
                                        "--error-limit=0",
                                        "-z",
                                        "now",
                                        "-z",
                                        "separate-code",
                                        "-z",
                                        "norelro",
                                        "-z",
                                        "nognustack",
                                        "--version-script=" + script,
                                        "-o",
                                        image};
  std::string exports = "{ global:";
  StringMap<bool> seen;
  for (const LinkInput &input : inputs) {
    if (!seen.try_emplace(input.entrySymbol, true).second)
      continue;
    std::string path = directory->file("kernel" + Twine(seen.size()) + ".o");
    if (Error error = writeFile(path, input.object))
      return error;
    arguments.push_back(path);
    exports += (" \"" + input.entrySymbol + "\";").str();
  }
  if (Error error = writeFile(script, exports + " local: *; };\n"))
    return error;
  if (Error error = runLinker(arguments))
    return error;

  ErrorOr<std::unique_ptr<MemoryBuffer>> buffer = MemoryBuffer::getFile(image, false, false);
  if (!buffer)
    return createStringError(buffer.getError(), "cannot read the linked image " + image + ": " +
                                                    buffer.getError().message());
  LinkedImage result;
  result.bytes = (*buffer)->getBuffer().str();
  Expected<StringMap<uint64_t>> entries = readEntries(result.bytes);
  if (!entries)
    return entries.takeError();
  for (const LinkInput &input : inputs) {
    auto entry = entries->find(input.entrySymbol);
    if (entry == entries->end())
      return createStringError("the linked image has no symbol '" + input.entrySymbol + "'");
    result.entries.push_back(entry->second);
  }
  return result;
}

} // namespace tern
