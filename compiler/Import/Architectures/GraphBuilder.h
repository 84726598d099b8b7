// Builds `@forward` of a language model from the blocks model families share.
//
// Values are [T, size] tensors of plain f32. A weight that is missing or has the wrong shape is
// recorded and stands in with the expected type, so that families read straight through;
// takeError() reports at the end. Nothing is fused here.
#ifndef TERN_COMPILER_IMPORT_ARCHITECTURES_GRAPHBUILDER_H
#define TERN_COMPILER_IMPORT_ARCHITECTURES_GRAPHBUILDER_H

#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Import/Architectures/ModelConfig.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

namespace tern {

enum class Bias : uint8_t { Required, Optional, None };

class GraphBuilder {
public:
  GraphBuilder(mlir::ModuleOp module, const ModelConfig &config, ModelSource &source);

  const ModelConfig &config() const { return model; }

  /// Rows of token_embd for the call's tokens.
  mlir::Value embed();
  /// RMS norm with the weight blk.LAYER.NAME.
  mlir::Value rmsNorm(mlir::Value x, unsigned layer, llvm::StringRef name);
  /// x W^T with NAME.weight [rows, K] and NAME.bias.
  mlir::Value linear(mlir::Value x, const llvm::Twine &name, uint64_t rows, Bias bias);
  /// attn_q, attn_k, attn_v, rotary positions, the layer's cache, attention, attn_output.
  mlir::Value selfAttention(mlir::Value x, unsigned layer, Bias inputBias);
  /// ffn_down(silu(ffn_gate x) * ffn_up x).
  mlir::Value gatedFeedForward(mlir::Value x, unsigned layer);
  mlir::Value add(mlir::Value a, mlir::Value b);
  /// Final norm and output.weight (token_embd.weight if there is none) of the wanted rows; ends the
  /// function.
  void finishWithLogits(mlir::Value x);

  /// What was wrong with the model's tensors.
  llvm::Error takeError();

private:
  using MapBody =
      llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location, mlir::ValueRange)>;

  mlir::Value map(mlir::ValueRange inputs, MapBody body);
  mlir::Value siluProduct(mlir::Value gate, mlir::Value up);
  mlir::Value norm(mlir::Value x, const llvm::Twine &name);
  mlir::Value rope(mlir::Value x);
  mlir::Value matrix(const llvm::Twine &name, uint64_t rows, uint64_t columns);
  mlir::Value vector(const llvm::Twine &name, uint64_t size);
  /// Declares the weight once and gives its value.
  mlir::Value param(llvm::StringRef name, mlir::RankedTensorType type, mlir::Attribute source);
  const SourceTensor *require(llvm::StringRef name, llvm::ArrayRef<uint64_t> shape);
  mlir::RankedTensorType rows(uint64_t size);
  void fail(const llvm::Twine &message);

  mlir::ModuleOp module;
  const ModelConfig &model;
  ModelSource &source;
  mlir::OpBuilder symbols; ///< before the function
  mlir::OpBuilder builder; ///< in the function
  mlir::Location location;
  mlir::func::FuncOp function;
  mlir::Value tokens, positions, slots, wanted, ropeTable;
  llvm::StringMap<mlir::Value> params;
  std::vector<std::string> errors;
};

} // namespace tern
#endif
