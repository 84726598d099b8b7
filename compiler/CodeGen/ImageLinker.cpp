#include "compiler/CodeGen/ImageLinker.h"
#include "lld/Common/Driver.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ObjCopy/ConfigManager.h"
#include "llvm/ObjCopy/ObjCopy.h"
#include "llvm/Object/ArchiveWriter.h"
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

/// Linker arguments for the distinct inputs, whose objects are written to the directory.
Expected<std::vector<std::string>> writeObjects(ArrayRef<LinkInput> inputs,
                                                const ScratchDirectory &directory,
                                                SmallVectorImpl<StringRef> &symbols) {
  std::vector<std::string> paths;
  StringMap<bool> seen;
  for (const LinkInput &input : inputs) {
    if (!seen.try_emplace(input.entrySymbol, true).second)
      continue;
    paths.push_back(directory.file("kernel" + Twine(seen.size()) + ".o"));
    if (Error error = writeFile(paths.back(), input.object))
      return error;
    symbols.push_back(input.entrySymbol);
  }
  return paths;
}

Expected<std::unique_ptr<MemoryBuffer>> readLinked(const std::string &path) {
  ErrorOr<std::unique_ptr<MemoryBuffer>> buffer = MemoryBuffer::getFile(path, false, false);
  if (!buffer)
    return createStringError(buffer.getError(), "cannot read the linked kernels " + path + ": " +
                                                    buffer.getError().message());
  return std::move(*buffer);
}

/// Renames the symbols that are keys of `names` and makes all others local.
Expected<std::string> keepOnly(const StringMap<std::string> &names, MemoryBufferRef object) {
  objcopy::ConfigManager config;
  for (const auto &[symbol, name] : names) {
    auto pattern = objcopy::NameOrPattern::create(symbol, objcopy::MatchStyle::Literal,
                                                  [](Error error) { return error; });
    if (!pattern)
      return pattern.takeError();
    if (Error error = config.Common.SymbolsToKeepGlobal.addMatcher(std::move(pattern)))
      return error;
    config.Common.SymbolsToRename[symbol] = name;
  }
  auto binary = object::createBinary(object);
  if (!binary)
    return binary.takeError();
  SmallString<0> bytes;
  raw_svector_ostream out(bytes);
  if (Error error = objcopy::executeObjcopyOnBinary(config, **binary, out))
    return error;
  return bytes.str().str();
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
  SmallVector<StringRef> symbols;
  auto objects = writeObjects(inputs, *directory, symbols);
  if (!objects)
    return objects.takeError();
  append_range(arguments, *objects);
  std::string exports = "{ global:";
  for (StringRef symbol : symbols)
    exports += (" \"" + symbol + "\";").str();
  if (Error error = writeFile(script, exports + " local: *; };\n"))
    return error;
  if (Error error = runLinker(arguments))
    return error;

  auto buffer = readLinked(image);
  if (!buffer)
    return buffer.takeError();
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

Expected<KernelLibrary> linkLibrary(ArrayRef<LinkInput> inputs, StringRef prefix) {
  Expected<ScratchDirectory> directory = ScratchDirectory::create();
  if (!directory)
    return directory.takeError();
  std::string merged = directory->file("merged.o");
  // Groups are dissolved: their symbols become local below.
  std::vector<std::string> arguments = {"ld.lld",      "-r", "--force-group-allocation",
                                        "--threads=1", "-o", merged};
  SmallVector<StringRef> symbols;
  auto objects = writeObjects(inputs, *directory, symbols);
  if (!objects)
    return objects.takeError();
  append_range(arguments, *objects);
  if (Error error = runLinker(arguments))
    return error;
  auto buffer = readLinked(merged);
  if (!buffer)
    return buffer.takeError();

  StringMap<std::string> names;
  for (auto [number, symbol] : enumerate(symbols))
    names[symbol] = (prefix + "_kernel_" + Twine(number)).str();
  Expected<std::string> object = keepOnly(names, **buffer);
  if (!object)
    return object.takeError();
  KernelLibrary result;
  for (const LinkInput &input : inputs)
    result.entries.push_back(names[input.entrySymbol]);
  std::string member = (prefix + "_kernels.o").str();
  NewArchiveMember members[] = {NewArchiveMember(MemoryBufferRef(*object, member))};
  auto archive = writeArchiveToBuffer(members, SymtabWritingMode::NormalSymtab,
                                      object::Archive::K_GNU, /*Deterministic=*/true,
                                      /*Thin=*/false);
  if (!archive)
    return archive.takeError();
  result.archive = (*archive)->getBuffer().str();
  return result;
}

} // namespace tern
