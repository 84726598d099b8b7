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
#include <optional>

namespace tern {

enum class Bias : uint8_t { Required, Optional, None };

/// Normalization of query and key before they are rotated.
enum class QueryKeyNorm : uint8_t {
  None,
  Head,       ///< each head by itself, all with the same weight
  OwnHead,    ///< each head by itself, with a weight of its own, where the file has one
  Projection, ///< all heads of a row together
};

/// How a family's attention differs from Llama's.
struct AttentionOptions {
  Bias inputBias = Bias::Optional;
  QueryKeyNorm queryKeyNorm = QueryKeyNorm::None;
  bool rope = true;
  /// Positions a row attends to, its own included; 0: all.
  uint64_t window = 0;
  /// Base of rotary positions of a layer's own, which no scaling applies to; 0: the model's.
  double ownRopeBase = 0;
  /// Of scores, where the file does not give it; 0: 1 / sqrt(head size).
  double scale = 0;
  /// ALiBi's largest exponent; 0: none.
  double alibi = 0;
  /// Norm of the mixed values before attn_output; empty: none.
  llvm::StringRef subNorm = {};
};

/// How a family's feed-forward block differs from Llama's.
struct FeedForwardOptions {
  Activation activation = Activation::Silu;
  /// Norm of the products before ffn_down; empty: none.
  llvm::StringRef subNorm = {};
};

class GraphBuilder {
public:
  GraphBuilder(mlir::ModuleOp module, const ModelConfig &config, ModelSource &source);

  const ModelConfig &config() const { return model; }
  /// Whether the file has a tensor of that name.
  bool has(const llvm::Twine &name) { return source.find(name.str()); }

  /// Rows of token_embd for the call's tokens, times `scale`.
  mlir::Value embed(double scale = 1);
  /// Rows of position_embd for their positions.
  mlir::Value embedPositions();
  /// The family's norm with the weight NAME, or blk.LAYER.NAME.
  mlir::Value norm(mlir::Value x, const llvm::Twine &name);
  mlir::Value norm(mlir::Value x, unsigned layer, llvm::StringRef name);
  /// x W^T with NAME.weight [rows, K] and NAME.bias, times NAME.scale where the file has one.
  mlir::Value linear(mlir::Value x, const llvm::Twine &name, uint64_t rows, Bias bias);
  /// attn_q, attn_k, attn_v (or attn_qkv, one after the other), rotary positions, the layer's
  /// cache, attention, attn_output.
  mlir::Value selfAttention(mlir::Value x, unsigned layer, const AttentionOptions &options = {});
  /// Whether a layer has the model's sliding window: of `period` layers in a row all but the last
  /// (0: all), unless the file says which.
  bool slides(unsigned layer, unsigned period) const;
  uint64_t windowOf(unsigned layer, unsigned period) const {
    return slides(layer, period) ? model.window : 0;
  }
  /// ffn_down(act(ffn_gate x) * ffn_up x). Where a file has no ffn_gate, ffn_up holds it above.
  mlir::Value gatedFeedForward(mlir::Value x, unsigned layer,
                               const FeedForwardOptions &options = {});
  /// Where the layer has experts (ffn_gate_inp), the mixture of those that each row chooses, and
  /// the shared expert if the file has one; else gatedFeedForward(). `normalize`: whether the
  /// family divides the chosen experts' probabilities by their sum.
  mlir::Value gatedOrExperts(mlir::Value x, unsigned layer, bool normalize);
  /// ffn_down(act(ffn_up x)).
  mlir::Value feedForward(mlir::Value x, unsigned layer, Activation activation);
  /// The model was trained with one scale of its int8 activations per token.
  void quantizeActivationsPerToken();
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value multiply(mlir::Value x, double factor);
  /// Final norm and output.weight (token_embd.weight if there is none) of the wanted rows, the
  /// configuration's divisor and soft cap; ends the function, whose second result is what the final
  /// norm gives.
  void finishWithLogits(mlir::Value x);

  /// What was wrong with the model's tensors.
  llvm::Error takeError();

private:
  using MapBody =
      llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location, mlir::ValueRange)>;
  /// Rows [first, first + count) of a tensor of `total` rows that holds several matrices.
  struct Rows {
    std::string tensor;
    uint64_t first, total;
  };

  mlir::Value map(mlir::ValueRange inputs, MapBody body);
  mlir::Value activate(mlir::Value x, Activation activation);
  mlir::Value activatedProduct(mlir::Value gate, mlir::Value up, Activation activation);
  mlir::Value softCap(mlir::Value x, double cap);
  /// Norm of each `group` elements (0: of the row) with NAME.weight of `shape`.
  mlir::Value norm(mlir::Value x, const llvm::Twine &name, llvm::ArrayRef<uint64_t> shape,
                   uint64_t group, Bias bias);
  mlir::Value queryKeyNorm(mlir::Value x, const llvm::Twine &name, uint64_t heads,
                           QueryKeyNorm kind);
  mlir::Value linear(mlir::Value x, const llvm::Twine &name, uint64_t rows, Bias bias,
                     const std::optional<Rows> &within);
  mlir::Value rope(mlir::Value x, double ownBase);
  /// The experts' x W^T, each row's with its own experts; NAME.weight is [experts, rows, K].
  mlir::Value expertLinear(mlir::Value x, const llvm::Twine &name, uint64_t rows,
                           mlir::Value expertRows, bool paired);
  /// sigmoid(ffn_gate_inp_shexp x) * ffn_down_shexp(silu(ffn_gate_shexp x) * ffn_up_shexp x).
  mlir::Value sharedExpert(mlir::Value x, const std::string &prefix, uint64_t inner);
  mlir::Value matrix(const llvm::Twine &name, uint64_t rows, uint64_t columns,
                     const std::optional<Rows> &within = {});
  /// The matrix [rows, columns] that `tensor` (null: already reported) holds, all of it or the rows
  /// `within`.
  mlir::Value matrixOf(llvm::StringRef name, const SourceTensor *tensor, uint64_t rows,
                       uint64_t columns, const std::optional<Rows> &within = {});
  mlir::Value vector(const llvm::Twine &name, llvm::ArrayRef<uint64_t> shape,
                     const std::optional<Rows> &within = {});
  /// Declares the weight once and gives its value.
  mlir::Value param(llvm::StringRef name, mlir::RankedTensorType type, mlir::Attribute source);
  const SourceTensor *require(llvm::StringRef name, llvm::ArrayRef<uint64_t> shape);
  /// The part of a tensor's bytes that `within` names.
  mlir::Attribute sourceOf(const SourceTensor *tensor, uint64_t rows,
                           const std::optional<Rows> &within);
  mlir::RankedTensorType rows(uint64_t size);
  void fail(const llvm::Twine &message);

  mlir::ModuleOp module;
  const ModelConfig &model;
  ModelSource &source;
  mlir::OpBuilder symbols; ///< before the function
  mlir::OpBuilder builder; ///< in the function
  mlir::Location location;
  mlir::func::FuncOp function;
  mlir::Value tokens, positions, slots, wanted;
  mlir::Value ropeTable, ownRopeTable;
  llvm::StringMap<mlir::Value> params;
  std::vector<std::string> errors;
};

} // namespace tern
#endif
