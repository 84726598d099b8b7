// How fast a model's weights are imported, packed and written, and with how much memory; not a
// test.
//
//   artifact_rate MODEL.gguf OUT.tern [THREADS]
//
// Every weight of the unfused graph is packed on its own; there is no code in the artifact.
#include "compiler/Artifact/ArtifactWriter.h"
#include "compiler/Artifact/WeightSource.h"
#include "compiler/Import/Import.h"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>

using namespace tern;

static double secondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

static void printMemory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM", 0) == 0 || line.rfind("Rss", 0) == 0)
      printf("  %s\n", line.c_str());
}

static llvm::Error run(const char *input, const char *output, unsigned threads) {
  mlir::MLIRContext context;
  auto start = std::chrono::steady_clock::now();
  auto imported = importGGUF(context, input, {.threads = threads});
  if (!imported)
    return imported.takeError();
  printf("import %.3f s\n", secondsSince(start));
  ArtifactModel model;
  model.inputFiles = imported->inputFiles;
  auto layout = mlir::StringAttr::get(&context, WeightLayout().id());
  llvm::Error error = llvm::Error::success();
  imported->module->walk([&](WeightOp weight) {
    auto type = weight.getTensorType();
    if (auto encoding = llvm::dyn_cast_if_present<EncodingAttr>(type.getEncoding()))
      weight.setType(
          mlir::RankedTensorType::get(type.getShape(), type.getElementType(),
                                      EncodingAttr::get(&context, encoding.desc(), layout)));
    auto source = weightSource(weight);
    if (!source) {
      error = llvm::joinErrors(std::move(error), source.takeError());
      return;
    }
    auto unit = std::make_unique<fb::WeightUnitT>();
    unit->name = weight.getSymName().str();
    auto record = tensorRecord(weight);
    record->unit = uint32_t(model.table.units.size());
    model.table.units.push_back(std::move(unit));
    model.table.tensors.push_back(std::move(record));
    model.sources.push_back(std::move(*source));
  });
  if (error)
    return error;
  start = std::chrono::steady_clock::now();
  if (llvm::Error failure = writeArtifact(model, output, {.threads = threads}))
    return failure;
  double seconds = secondsSince(start);
  double megabytes = double(model.table.file_size) / 1e6;
  printf("write  %.3f s, %.0f MB, %.0f MB/s\n", seconds, megabytes, megabytes / seconds);
  printMemory();
  return llvm::Error::success();
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: artifact_rate MODEL.gguf OUT.tern [THREADS]\n");
    return 2;
  }
  unsigned threads = argc > 3 ? unsigned(atoi(argv[3])) : 2;
  if (llvm::Error error = run(argv[1], argv[2], threads)) {
    fprintf(stderr, "%s\n", llvm::toString(std::move(error)).c_str());
    return 1;
  }
  return 0;
}
