// A GGUF file's tensors as the format-neutral ModelSource.
#ifndef TERN_COMPILER_IMPORT_GGUF_GGUFTENSORS_H
#define TERN_COMPILER_IMPORT_GGUF_GGUFTENSORS_H

#include "compiler/Import/Architectures/ModelConfig.h"
#include "compiler/Import/GGUF/Reader.h"
#include "compiler/Import/Import.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"
#include <memory>

namespace tern {

class GGUFTensors : public ModelSource {
public:
  /// Every tensor must be of a known block format. 2-bit tensors are scanned for code 3, on
  /// several threads: one that holds it is Quaternary, else Ternary, and the kernels' bounds rest
  /// on that.
  static llvm::Expected<std::unique_ptr<GGUFTensors>>
  create(mlir::MLIRContext &context, const gguf::File &file, const ImportOptions &options);

  const SourceTensor *find(llvm::StringRef name) override;
  void markUsed(llvm::StringRef name) { used[name] = true; }
  /// An error that names tensors nobody asked for: the graph would not be the file's model.
  llvm::Error checkAllUsed(llvm::StringRef architecture) const;

private:
  explicit GGUFTensors(const gguf::File &file) : file(file) {}

  const gguf::File &file;
  llvm::StringMap<SourceTensor> tensors;
  llvm::StringMap<bool> used;
};

} // namespace tern
#endif
