// The `tern` dialect's ops: symbols, named model ops, structured ops, kernels.
#ifndef TERN_OPS_TD
#define TERN_OPS_TD

include "compiler/Dialect/Tern/TernBase.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"

class Tern_Op<string mnemonic, list<Trait> traits = []> : Op<Tern_Dialect, mnemonic, traits>;
class Tern_PureOp<string mnemonic, list<Trait> traits = []> : Tern_Op<mnemonic, !listconcat([Pure], traits)>;

//===-- Symbols -----------------------------------------------------------------------------------===//

def Tern_WeightOp : Tern_Op<"weight", [Symbol]> {
  let summary = "a parameter of the model, by reference";
  let description = [{
    Declares a tensor whose bytes stay where they are until the artifact is packed. When the type's encoding
    differs from the source's format, the packer decodes and encodes.

    ```mlir
    tern.weight @blk.0.attn_q.weight : tensor<64x64xf32, #tern.enc<f16>>
        from #tern.file<index = 0, offset = 4096, size = 8192, format = "f16">
    tern.weight @blk.0.qkv : tensor<192x64xf32, #tern.enc<f16>> from #tern.parts<concat, [@q, @k, @v]>
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<AnyRankedTensor>:$type, AnyAttr:$source);
  let assemblyFormat = "$sym_name `:` $type `from` $source attr-dict";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getTensorType() { return ::llvm::cast<::mlir::RankedTensorType>(getType()); }
  }];
}

def Tern_ParamOp : Tern_PureOp<"param", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "the value of a weight";
  let description = [{
    ```mlir
    %w = tern.param @blk.0.attn_q.weight : tensor<64x64xf32, #tern.enc<f16>>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$weight);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$weight attr-dict `:` type($result)";
}

def Tern_KvCacheOp : Tern_Op<"kv_cache", [Symbol]> {
  let summary = "the key / value cache of one attention layer";
  let description = [{
    ```mlir
    tern.kv_cache @kv.0 : !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<Tern_KvType>:$type);
  let assemblyFormat = "$sym_name `:` $type attr-dict";
}

def Tern_CacheOp : Tern_PureOp<"cache", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a cache as it was before this call";
  let description = [{
    ```mlir
    %c = tern.cache @kv.0 : !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$cache);
  let results = (outs Tern_KvType:$result);
  let assemblyFormat = "$cache attr-dict `:` type($result)";
}

//===-- Named model ops ---------------------------------------------------------------------------===//

def Tern_EmbedOp : Tern_PureOp<"embed"> {
  let summary = "rows of an embedding table";
  let description = [{
    `result[t] = scale * decode(table[tokens[t]])`. Shapes: table [V, H], tokens [T] i32, token ids or, of learned
    positions, positions; numbers outside of the table lead to its first or last row. Result [T, H].
    What is no finite number follows IEEE arithmetic: of a scale that is NaN all elements of its group are NaN, of an
    infinite one they are infinite or, with code 0, NaN.

    ```mlir
    %x = tern.embed %table, %tokens : tensor<512x64xf32, #tern.enc<f16>>, tensor<?xi32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$table, 1DTensorOf<[I32]>:$tokens,
                       DefaultValuedAttr<F32Attr, "1.0f">:$scale);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$table `,` $tokens attr-dict `:` type($table) `,` type($tokens) `->` type($result)";
  let hasVerifier = 1;
}

def Tern_LinearOp : Tern_PureOp<"linear", [AttrSizedOperandSegments]> {
  let summary = "y = x W^T (+ bias)";
  let description = [{
    Shapes: x [T, K] (plain f32, or `#tern.act`), weight [N, K] or [parts, N, K], bias [N], result [T, N] or
    [T, parts, N]. Sums over K run in one fixed order: groups ascending.

    With `experts`, the weight holds the matrices of E experts one after the other, [E * N, K] or [parts, E * N, K], and
    the result a row for each pair of a row and one of its experts, [U * T, N] or [U * T, parts, N]. x has a row for
    each row of the call, or with `paired` one for each pair. Of the weight only the experts in use are read.

    ```mlir
    %y = tern.linear %x, %w : tensor<?x64xf32>, tensor<128x64xf32, #tern.enc<f16>> -> tensor<?x128xf32>
    %z = tern.linear %q, %v bias %b : tensor<?x64xf32, #tern.act<group = 32, sums = 32>>,
        tensor<128x64xf32, #tern.enc<int4, group = 32, scale = f16>>, tensor<128xf32> -> tensor<?x128xf32>
    %e = tern.linear %x, %u experts %rows : tensor<?x64xf32>, tensor<512x64xf32, #tern.enc<f16>>
        experts tensor<?xi32, #tern.expert_rows<experts = 4, used = 2>> -> tensor<?x128xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$x, AnyRankedTensor:$weight, Optional<1DTensorOf<[F32]>>:$bias,
                       Optional<1DTensorOf<[I32]>>:$experts, UnitAttr:$paired);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $x `,` $weight (`bias` $bias^)? (`experts` $experts^)? (`paired` $paired^)? attr-dict
    `:` type($x) `,` type($weight) (`,` type($bias)^)? (`experts` type($experts)^)? `->` type($result)
  }];
  let hasVerifier = 1;
  let builders = [OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$x, "::mlir::Value":$weight,
                                 "::mlir::Value":$bias), [{
    build($_builder, $_state, result, x, weight, bias, /*experts=*/::mlir::Value(), /*paired=*/false);
  }]>];
  let extraClassDeclaration = [{
    /// Of the weight's rows; null without experts.
    ::tern::ExpertRowsAttr getExpertRows() {
      return getExperts() ? ::llvm::cast<::tern::ExpertRowsAttr>(
                                ::llvm::cast<::mlir::RankedTensorType>(getExperts().getType()).getEncoding())
                          : ::tern::ExpertRowsAttr();
    }
  }];
}

def Tern_RouteOp : Tern_PureOp<"route"> {
  let summary = "choose a row's experts";
  let description = [{
    Softmax over the logits [T, E] of each row, then the U most likely experts in descending order (of equal ones the
    first): their numbers and probabilities, both [T, U]. With `normalize` the probabilities are divided by their sum;
    `scale` multiplies them (Shazeer et al., 2017; Fedus et al., 2022).

    Whatever the logits are, the experts of a row differ; -0 comes after 0. With a NaN or a +inf among its logits, or with
    nothing but -inf, all probabilities of a row are NaN; a logit of -inf has probability 0.

    ```mlir
    %ids, %p = tern.route %logits {normalize} : tensor<?x64xf32> -> tensor<?x8xi32>, tensor<?x8xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$logits, UnitAttr:$normalize, DefaultValuedAttr<F32Attr, "1.0f">:$scale);
  let results = (outs AnyRankedTensor:$ids, AnyRankedTensor:$probabilities);
  let assemblyFormat = "$logits attr-dict `:` type($logits) `->` type($ids) `,` type($probabilities)";
  let hasVerifier = 1;
}

def Tern_ExpertRowsOp : Tern_PureOp<"expert_rows"> {
  let summary = "list the rows of each expert";
  let description = [{
    From the experts [T, U] of each row (numbers below E) to `#tern.expert_rows`.

    ```mlir
    %rows = tern.expert_rows %ids : tensor<?x8xi32> -> tensor<?xi32, #tern.expert_rows<experts = 64, used = 8>>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$ids);
  let results = (outs 1DTensorOf<[I32]>:$result);
  let assemblyFormat = "$ids attr-dict `:` type($ids) `->` type($result)";
  let hasVerifier = 1;
}

def Tern_CombineOp : Tern_PureOp<"combine"> {
  let summary = "weighted sum of the experts' results";
  let description = [{
    `result[t] = sum over j ascending of weights[t, j] * x[U * t + j]`. Shapes: x [U * T, H], weights [T, U],
    result [T, H]. NaN and infinities follow IEEE arithmetic.

    ```mlir
    %y = tern.combine %x, %p : tensor<?x2048xf32>, tensor<?x8xf32> -> tensor<?x2048xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$x, AnyRankedTensor:$weights);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x `,` $weights attr-dict `:` type($x) `,` type($weights) `->` type($result)";
  let hasVerifier = 1;
}

def Tern_RmsNormOp : Tern_PureOp<"rms_norm"> {
  let summary = "root-mean-square normalization of each row";
  let description = [{
    `x / sqrt(mean(x^2) + epsilon) * weight` (Zhang and Sennrich, 2019). Shapes: x [T, H], weight [H]. With `group`, each
    run of so many elements of a row (a head) is normalized by itself; weight may then be [group], the same for each.

    A NaN makes its whole row (or run) NaN. Where the mean square is infinite in f32 (by an infinity, or by magnitudes
    from about 1.8e19 divided by the root of the length), finite elements become 0 and infinite ones NaN.

    ```mlir
    %y = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
    %q = tern.rms_norm %y, %h {epsilon = 1.0e-5 : f32, group = 16 : i64}
        : tensor<?x64xf32>, tensor<16xf32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$x, 1DTensorOf<[F32]>:$weight, F32Attr:$epsilon,
                       DefaultValuedAttr<I64Attr, "0">:$group);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x `,` $weight attr-dict `:` type($x) `,` type($weight) `->` type($result)";
  let hasVerifier = 1;
}

def Tern_LayerNormOp : Tern_PureOp<"layer_norm"> {
  let summary = "layer normalization of each row";
  let description = [{
    `(x - mean(x)) / sqrt(variance(x) + epsilon) * weight (+ bias)` (Ba et al., 2016), the variance being the mean square of
    what is left after the mean is taken off. Shapes and `group` as in `tern.rms_norm`; bias has the shape of weight.

    A NaN makes its whole row (or run) NaN, and so does an infinity, or a sum of elements that is infinite in f32. Where
    only the variance is infinite, elements become the bias.

    ```mlir
    %y = tern.layer_norm %x, %w bias %b {epsilon = 1.0e-5 : f32}
        : tensor<?x64xf32>, tensor<64xf32>, tensor<64xf32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$x, 1DTensorOf<[F32]>:$weight, Optional<1DTensorOf<[F32]>>:$bias,
                       F32Attr:$epsilon, DefaultValuedAttr<I64Attr, "0">:$group);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $x `,` $weight (`bias` $bias^)? attr-dict `:` type($x) `,` type($weight) (`,` type($bias)^)? `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tern_EncodeOp : Tern_PureOp<"encode"> {
  let summary = "quantize activations to int8";
  let description = [{
    Per group of a row: scale = max|x| / 127, code = round-half-even(x / scale), clamped to -127..127; an all-zero
    group has scale 0 and codes 0. A NaN makes the group's scale NaN, an infinity (and no NaN) makes it infinite;
    codes and sums are then 0, so that what is computed from the group is NaN.

    ```mlir
    %q = tern.encode %x : tensor<?x64xf32> -> tensor<?x64xf32, #tern.act<group = 32, sums = 32>>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$x);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

def Tern_RopeOp : Tern_PureOp<"rope"> {
  let summary = "rotary position embedding";
  let description = [{
    Rotates the first 2 M elements of each head of x [T, heads * head_size] by the angles of the row's position
    (Su et al., 2021); table is [L, M, 2] as `#tern.rope_table` describes, and positions outside of it count as the
    first or last. `adjacent` pairs elements 2 i and 2 i + 1 (GGUF's `llama`), otherwise i and i + M (GPT-NeoX).

    A NaN makes both elements of its pair NaN; an infinity makes each infinite, or NaN where the angle's factor is 0 or
    two infinities cancel. Other elements are as without it.

    ```mlir
    %r = tern.rope %x, %positions, %table {head_size = 16 : i32, adjacent}
        : tensor<?x64xf32>, tensor<?xi32>, tensor<257x8x2xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$x, 1DTensorOf<[I32]>:$positions, AnyRankedTensor:$table,
                       I32Attr:$head_size, UnitAttr:$adjacent);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $x `,` $positions `,` $table attr-dict `:` type($x) `,` type($positions) `,` type($table) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tern_KvStoreOp : Tern_Op<"kv_store", [AllTypesMatch<["cache", "result"]>]> {
  let summary = "write the keys and values of this call's rows into a cache";
  let description = [{
    Row t goes to position positions[t] of slot slots[t]. Shapes: key [T, heads * head_size], value
    [T, heads * value_size]. Elements are rounded to the cache's type, NaN to NaN and what f16 cannot hold to infinity.
    i8 codes are round(x / scale), where the scale is the f16 nearest to 1 / 127 of the largest magnitude of that
    position and head; a NaN there makes the scale NaN, a magnitude that f16 cannot hold makes it infinite, and the codes
    are then 0.

    ```mlir
    %c1 = tern.kv_store %c, %k, %v, %positions, %slots : !tern.kv<heads = 2, head_size = 16, value_size = 16,
        window = 0, element = f16>, tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
    ```
  }];
  let arguments = (ins Tern_KvType:$cache, AnyRankedTensor:$key, AnyRankedTensor:$value,
                       1DTensorOf<[I32]>:$positions, 1DTensorOf<[I32]>:$slots);
  let results = (outs Tern_KvType:$result);
  let assemblyFormat = [{
    $cache `,` $key `,` $value `,` $positions `,` $slots attr-dict `:` type($cache) `,` type($key) `,` type($value)
    `,` type($positions) `,` type($slots)
  }];
  let builders = [OpBuilder<(ins "::mlir::Value":$cache, "::mlir::Value":$key, "::mlir::Value":$value,
                                 "::mlir::Value":$positions, "::mlir::Value":$slots), [{
    build($_builder, $_state, cache.getType(), cache, key, value, positions, slots);
  }]>];
  let hasVerifier = 1;
}

def Tern_AttentionOp : Tern_PureOp<"attention"> {
  let summary = "causal attention over a cache";
  let description = [{
    For row t and query head h: softmax over the cached positions p <= positions[t] of slot slots[t] (within the
    cache's window) of scale * q . key[p], times value[p]; key head = h * kv_heads / heads. Shapes: query
    [T, heads * head_size], result [T, heads * value_size]. Positions are taken in blocks of 512, merged in
    ascending order (online softmax), so the result depends on nothing but the slot's history.

    Scores s may be changed before the softmax: `soft_cap` c makes them c * tanh(s / c) (Gemma 2), `alibi` b adds
    slope(h) * (p - positions[t]) (Press et al., 2022), whose slopes fall geometrically to 2^-b over the heads.

    What is no finite number follows the softmax's arithmetic. A score of +inf or NaN (from a query, a key or its scale)
    makes the head's result NaN; one of -inf has weight 0, and where there are no others, the result is NaN. A value that
    is NaN or infinite makes its element so (NaN, where infinities of either sign meet or its weight is 0); a scale of i8
    values that is not finite makes NaN of the whole head.

    ```mlir
    %a = tern.attention %q, %c1, %positions, %slots {heads = 4 : i32, scale = 2.5e-1 : f32}
        : tensor<?x64xf32>, !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>,
          tensor<?xi32>, tensor<?xi32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$query, Tern_KvType:$cache, 1DTensorOf<[I32]>:$positions,
                       1DTensorOf<[I32]>:$slots, I32Attr:$heads, F32Attr:$scale,
                       OptionalAttr<F32Attr>:$soft_cap, OptionalAttr<F32Attr>:$alibi);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $query `,` $cache `,` $positions `,` $slots attr-dict `:` type($query) `,` type($cache) `,` type($positions)
    `,` type($slots) `->` type($result)
  }];
  let hasVerifier = 1;
}

//===-- Structured ops ----------------------------------------------------------------------------===//

def Tern_MapOp : Tern_PureOp<"map", [SingleBlockImplicitTerminator<"::tern::YieldOp">, RecursiveMemoryEffects]> {
  let summary = "elementwise computation with broadcasting";
  let description = [{
    The body (ops of `arith` and `math` on scalars) is applied to each element; operands broadcast against the
    result by trailing dimensions, as in NumPy.

    What is no finite number follows IEEE arithmetic op by op, in f32: NaN in gives NaN out (also of `arith.minimumf` and
    `arith.maximumf`), `arith.cmpf` holds for NaN as its predicate says, what leaves the range is infinite. `math.exp` is
    0 below -86.99 (no subnormal results), else exact to 1.1e-7 of its result; `math.tanh` and `math.erf` are 1 and -1 at
    the infinities and exact to 3e-7 and 1e-6 of 1. A SiLU or GELU of -inf is thus NaN, of the lowest number -0. Zeros
    have IEEE's signs, but those of `math.tanh` and `math.erf`, and of 0 and -0 the minimum and the maximum are either.
    Where the map follows a linear layer of floats in its kernel and the target has such an operation, the product that
    goes into a sum is not rounded by itself, unless both of its terms are products; else it is, that of `math.fma` too.

    ```mlir
    %s = tern.map (%x, %y) : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32> {
    ^bb0(%a: f32, %b: f32):
      %c = arith.addf %a, %b : f32
      tern.yield %c : f32
    }
    ```
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$inputs);
  let results = (outs AnyRankedTensor:$result);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`(` $inputs `)` attr-dict `:` functional-type($inputs, $result) $body";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Tern_ReduceOp : Tern_PureOp<"reduce", [SingleBlockImplicitTerminator<"::tern::YieldOp">, RecursiveMemoryEffects]> {
  let summary = "fold the last dimension with a binary body";
  let description = [{
    `acc = init; for k ascending: acc = body(acc, x[..., k])`. Shapes: x [..., K], result [...].

    ```mlir
    %m = tern.reduce %x init 0.0 : tensor<?x64xf32> -> tensor<?xf32> {
    ^bb0(%acc: f32, %v: f32):
      %s = arith.addf %acc, %v : f32
      tern.yield %s : f32
    }
    ```
  }];
  let arguments = (ins AnyRankedTensor:$x, F64Attr:$init);
  let results = (outs AnyRankedTensor:$result);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$x `init` $init attr-dict `:` type($x) `->` type($result) $body";
  let hasVerifier = 1;
}

def Tern_GatherOp : Tern_PureOp<"gather"> {
  let summary = "rows of a tensor by index";
  let description = [{
    `result[i, ...] = x[indices[i], ...]`. Shapes: x [N, ...], indices [M] i32, result [M, ...]. Indices out of range are
    the caller's error.

    ```mlir
    %r = tern.gather %x, %rows : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$x, 1DTensorOf<[I32]>:$indices);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x `,` $indices attr-dict `:` type($x) `,` type($indices) `->` type($result)";
  let hasVerifier = 1;
}

def Tern_WindowOp : Tern_PureOp<"window"> {
  let summary = "sliding windows of one dimension";
  let description = [{
    Adds a trailing dimension of `size` taps: `result[..., i, ..., j] = x[..., i * stride + j * dilation - pad_before, ...]`,
    0 outside x. Convolutions and pooling are a window followed by `tern.map` and `tern.reduce`.

    ```mlir
    %w = tern.window %x dim 1 size 3 {stride = 1, dilation = 1, pad_before = 1, pad_after = 1}
        : tensor<4x16xf32> -> tensor<4x16x3xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$x, I64Attr:$dim, I64Attr:$size,
                       DefaultValuedAttr<I64Attr, "1">:$stride, DefaultValuedAttr<I64Attr, "1">:$dilation,
                       DefaultValuedAttr<I64Attr, "0">:$pad_before, DefaultValuedAttr<I64Attr, "0">:$pad_after);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x `dim` $dim `size` $size attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

def Tern_SliceOp : Tern_PureOp<"slice"> {
  let summary = "a contiguous range of one dimension (a view)";
  let description = [{
    Keeps `length` elements of dimension `dim` from `offset`; with `drop` (length 1) the dimension disappears.

    ```mlir
    %k = tern.slice %qkv dim 1 from 64 length 32 : tensor<?x128xf32> -> tensor<?x32xf32>
    %g = tern.slice %y dim 1 from 0 length 1 drop : tensor<?x2x128xf32> -> tensor<?x128xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$x, I64Attr:$dim, I64Attr:$offset, I64Attr:$length, UnitAttr:$drop);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $x `dim` $dim `from` $offset `length` $length (`drop` $drop^)? attr-dict `:` type($x) `->` type($result)
  }];
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Tern_ReshapeOp : Tern_PureOp<"reshape"> {
  let summary = "the same elements in row-major order under another shape (a view)";
  let description = [{
    At most the leading dimension is dynamic, in both types.

    ```mlir
    %h = tern.reshape %x : tensor<?x64xf32> -> tensor<?x4x16xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$x);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

//===-- Kernels -----------------------------------------------------------------------------------===//

def Tern_KernelOp : Tern_Op<"kernel", [FunctionOpInterface, IsolatedFromAbove, Symbol]> {
  let summary = "ops that run as one compiled function";
  let description = [{
    Its printed form without locations and name is the key of the kernel cache and all that a worker process
    receives. Arguments with a leading dynamic dimension carry `tern.dim`. A weight argument's type carries its
    layout. `tern.yield` ends it.

    ```mlir
    tern.kernel @linear_0(%x: tensor<?x64xf32> {tern.dim = "T"},
                          %w: tensor<128x64xf32, #tern.enc<f16, layout = "rows32">>) -> tensor<?x128xf32> {
      %y = tern.linear %x, %w : tensor<?x64xf32>, tensor<128x64xf32, #tern.enc<f16, layout = "rows32">> -> tensor<?x128xf32>
      tern.yield %y : tensor<?x128xf32>
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type,
                       OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::ArrayRef<::mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    ::mlir::ArrayRef<::mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    ::mlir::Region *getCallableRegion() { return &getBody(); }
    /// The first op of a kind in the body, or null.
    template <typename Op> Op find() {
      for (::mlir::Operation &op : getBody().front())
        if (auto found = ::llvm::dyn_cast<Op>(op))
          return found;
      return {};
    }
  }];
}

def Tern_LaunchOp : Tern_Op<"launch", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "run a kernel";
  let description = [{
    ```mlir
    %y = tern.launch @linear_0(%x, %w) : (tensor<?x64xf32>, tensor<128x64xf32, #tern.enc<f16, layout = "rows32">>)
        -> tensor<?x128xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<AnyType>:$inputs);
  let results = (outs Variadic<AnyType>:$outputs);
  let assemblyFormat = "$kernel `(` $inputs `)` attr-dict `:` functional-type($inputs, $outputs)";
}

def Tern_YieldOp : Tern_PureOp<"yield", [Terminator, ReturnLike, ParentOneOf<["MapOp", "ReduceOp", "KernelOp"]>]> {
  let summary = "the results of a body";
  let description = [{
    ```mlir
    tern.yield %y : tensor<?x128xf32>
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
  let builders = [OpBuilder<(ins), [{}]>];
}
#endif
