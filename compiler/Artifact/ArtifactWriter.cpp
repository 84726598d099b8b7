// Offsets, streaming of units by worker threads, digests, and the flatbuffer around them.
//
// The flatbuffer comes first in the file but holds digests of what follows, so it is built twice:
// once with empty digests for its size, and once more to be written when everything else is.
#include "compiler/Artifact/ArtifactWriter.h"

#include "compiler/Artifact/OutputFile.h"
#include "compiler/Artifact/TensorStream.h"
#include "runtime/core/Sha256.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Alignment.h"
#include <atomic>
#include <mutex>
#include <new>
#include <thread>

using namespace llvm;

namespace tern {

namespace {

constexpr uint64_t segmentAlignment = 16384;
constexpr uint64_t tensorAlignment = 64;
// FlatBuffers 2 offsets are 32 bits, signed in places.
constexpr uint64_t largestTable = (uint64_t(1) << 31) - 65536;

// The runtime's SHA-256: it uses the CPU's SHA instructions, which saves 1.4 s of CPU time for 685
// MB.
fb::Digest digestOf(Sha256 &hash) {
  uint8_t bytes[Sha256::digestSize];
  hash.finish(bytes);
  return fb::Digest(flatbuffers::span<const uint8_t, Sha256::digestSize>(bytes));
}

// Linux keeps what is written in pages as large as a write covers at their alignment, and maps
// files that programs use in place with them: weights in 2 MB pages are read 1.3 times as fast.
constexpr uint64_t pageCacheAlignment = uint64_t(2) << 20;

// One unit's bytes on their way to the file: a buffer, the digest so far, the position. Writes end
// at multiples of pageCacheAlignment, but for the unit's last.
class UnitWriter {
public:
  UnitWriter(OutputFile &file, uint64_t position, uint64_t bufferBytes,
             llvm::function_ref<void(uint64_t)> flushed)
      : file(file), position(position), flushed(flushed) {
    reserve(bufferBytes + pageCacheAlignment); // a piece, and what waits for the next multiple
  }

  Expected<uint8_t *> provide(uint64_t bytes) {
    if (bytes > capacity - used) {
      uint64_t aligned = alignDown(position + used, pageCacheAlignment);
      if (aligned > position)
        if (Error error = write(aligned - position))
          return error;
    }
    if (bytes > capacity - used) {
      if (Error error = flush())
        return error;
      reserve(bytes);
    }
    uint8_t *at = buffer.get() + used;
    used += bytes;
    written += bytes;
    return at;
  }

  Error padTo(uint64_t offset) {
    if (offset == written)
      return Error::success();
    uint64_t count = offset - written;
    Expected<uint8_t *> at = provide(count);
    if (!at)
      return at.takeError();
    memset(*at, 0, count);
    return Error::success();
  }

  Error flush() { return write(used); }

  fb::Digest digest() { return digestOf(hash); }

private:
  // The first bytes of the buffer.
  Error write(uint64_t count) {
    ArrayRef<uint8_t> bytes(buffer.get(), count);
    hash.update(bytes.data(), bytes.size());
    if (Error error = file.write(position, bytes))
      return error;
    position += count;
    flushed(count);
    used -= count;
    memmove(buffer.get(), buffer.get() + count, used);
    return Error::success();
  }

  struct Deleter {
    void operator()(uint8_t *memory) const {
      ::operator delete[](memory, std::align_val_t(tensorAlignment));
    }
  };

  // Only with an empty buffer.
  void reserve(uint64_t bytes) {
    if (bytes <= capacity)
      return;
    buffer.reset(
        static_cast<uint8_t *>(::operator new[](bytes, std::align_val_t(tensorAlignment))));
    capacity = bytes;
  }

  OutputFile &file;
  uint64_t position;
  llvm::function_ref<void(uint64_t)> flushed;
  std::unique_ptr<uint8_t[], Deleter> buffer;
  uint64_t capacity = 0, used = 0, written = 0;
  Sha256 hash;
};

class Writer {
public:
  Writer(ArtifactModel &model, StringRef path, const WriteOptions &options)
      : model(model), path(path), options(options) {}

  Error run() {
    if (Error error = openInputs())
      return error;
    if (Error error = planUnits())
      return error;
    if (Error error = planSegments())
      return error;
    Expected<std::unique_ptr<OutputFile>> created = OutputFile::create(path);
    if (!created)
      return created.takeError();
    file = std::move(*created);
    if (Error error = writeCode())
      return error;
    if (Error error = writeUnits())
      return error;
    if (Error error = writeTable())
      return error;
    return file->commit();
  }

private:
  Error openInputs() {
    for (const std::string &name : model.inputFiles) {
      std::string message;
      if (!inputs.emplace_back().open(name, message))
        return createStringError(message);
    }
    return Error::success();
  }

  // Offsets of tensors within their units, and what each unit holds.
  Error planUnits() {
    fb::ArtifactT &table = model.table;
    if (model.sources.size() != table.tensors.size() || model.code.size() != table.variants.size())
      return createStringError("an artifact needs one source per tensor and one image per variant");
    model.errors.assign(model.sources.size(), {});
    unitTensors.resize(table.units.size());
    unitBytes.assign(table.units.size(), 0);
    for (auto [index, tensor] : enumerate(table.tensors)) {
      if (tensor->unit >= table.units.size())
        return createStringError("weight '" + tensor->name + "' is in unit " + Twine(tensor->unit) +
                                 " of " + Twine(table.units.size()));
      if (Error error = checkSource(tensor->name, model.sources[index], inputs))
        return error;
      tensor->size = packedSize(model.sources[index]);
      tensor->offset = alignTo(unitBytes[tensor->unit], tensorAlignment);
      unitBytes[tensor->unit] = tensor->offset + tensor->size;
      unitTensors[tensor->unit].push_back(index);
      totalBytes += tensor->size;
    }
    return Error::success();
  }

  // The order of the file: table, code, units. Digests are zero until they are known.
  Error planSegments() {
    fb::ArtifactT &table = model.table;
    sort(table.metadata, [](const auto &a, const auto &b) { return a->key < b->key; });
    table.file_size = 1; // a default value would not be stored, and the size must not change
    for (auto &variant : table.variants) {
      variant->code = std::make_unique<fb::Segment>(0, 0);
      variant->code_digest = std::make_unique<fb::Digest>();
    }
    for (auto &unit : table.units) {
      unit->segment = std::make_unique<fb::Segment>(0, 0);
      unit->digest = std::make_unique<fb::Digest>();
    }
    tableBytes = buildTable().size();
    if (tableBytes > largestTable)
      return createStringError(path + ": the artifact's tables need " + Twine(tableBytes) +
                               " bytes, at most " + Twine(largestTable) + " are possible");
    uint64_t end = tableBytes + Sha256::digestSize;
    auto place = [&](uint64_t size) {
      uint64_t offset = alignTo(end, segmentAlignment);
      end = offset + size;
      return std::make_unique<fb::Segment>(offset, size);
    };
    for (auto [variant, code] : zip(table.variants, model.code))
      variant->code = place(code.size());
    for (auto [unit, bytes] : zip(table.units, unitBytes))
      unit->segment = place(bytes);
    table.file_size = end;
    return Error::success();
  }

  Error writeCode() {
    for (auto [variant, code] : zip(model.table.variants, model.code)) {
      Sha256 hash;
      hash.update(code.data(), code.size());
      *variant->code_digest = digestOf(hash);
      if (Error error = file->write(variant->code->offset(), code))
        return error;
    }
    return Error::success();
  }

  // Units are independent, so each is one thread's work; the largest go first.
  Error writeUnits() {
    std::vector<size_t> order(model.table.units.size());
    for (size_t i = 0; i < order.size(); ++i)
      order[i] = i;
    sort(order, [&](size_t a, size_t b) {
      return unitBytes[a] != unitBytes[b] ? unitBytes[a] > unitBytes[b] : a < b;
    });
    std::atomic<size_t> next{0};
    std::atomic<bool> stop{false};
    std::mutex errorMutex;
    std::string firstError;
    auto work = [&] {
      for (size_t i; !stop && (i = next.fetch_add(1)) < order.size();)
        if (Error error = writeUnit(order[i])) {
          std::string message = toString(std::move(error));
          std::lock_guard<std::mutex> lock(errorMutex);
          if (!stop.exchange(true))
            firstError = std::move(message);
        }
    };
    std::vector<std::thread> workers;
    for (size_t i = 1; i < std::min<size_t>(std::max(1u, options.threads), order.size()); ++i)
      workers.emplace_back(work);
    work();
    for (std::thread &worker : workers)
      worker.join();
    return stop ? createStringError(firstError) : Error::success();
  }

  Error writeUnit(size_t index) {
    fb::WeightUnitT &unit = *model.table.units[index];
    auto flushed = [&](uint64_t bytes) { addProgress(bytes); };
    UnitWriter writer(*file, unit.segment->offset(), options.bufferBytes, flushed);
    for (size_t tensor : unitTensors[index]) {
      if (Error error = writer.padTo(model.table.tensors[tensor]->offset))
        return error;
      auto provide = [&](uint64_t bytes) { return writer.provide(bytes); };
      if (Error error = produceTensor(model.sources[tensor], inputs, options.bufferBytes, provide,
                                      model.errors[tensor]))
        return error;
    }
    if (Error error = writer.flush())
      return error;
    *unit.digest = writer.digest();
    return Error::success();
  }

  Error writeTable() {
    std::vector<uint8_t> bytes = buildTable();
    if (bytes.size() != tableBytes)
      return createStringError(path + ": the artifact's table changed its size from " +
                               Twine(tableBytes) + " to " + Twine(bytes.size()) + " bytes");
    uint8_t digest[Sha256::digestSize];
    sha256(bytes.data(), bytes.size(), digest);
    bytes.insert(bytes.end(), std::begin(digest), std::end(digest));
    return file->write(0, bytes);
  }

  std::vector<uint8_t> buildTable() {
    flatbuffers::FlatBufferBuilder builder(1 << 20);
    fb::FinishSizePrefixedArtifactBuffer(builder, fb::CreateArtifact(builder, &model.table));
    return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
  }

  void addProgress(uint64_t bytes) {
    if (!options.progress)
      return;
    std::lock_guard<std::mutex> lock(progressMutex);
    doneBytes += bytes;
    options.progress(std::min(doneBytes, totalBytes), totalBytes);
  }

  ArtifactModel &model;
  StringRef path;
  const WriteOptions &options;
  std::vector<gguf::MappedFile> inputs;
  std::unique_ptr<OutputFile> file;
  std::vector<std::vector<size_t>> unitTensors;
  std::vector<uint64_t> unitBytes;
  uint64_t tableBytes = 0, totalBytes = 0, doneBytes = 0;
  std::mutex progressMutex;
};

} // namespace

Error writeArtifact(ArtifactModel &model, StringRef path, const WriteOptions &options) {
  return Writer(model, path, options).run();
}

} // namespace tern
