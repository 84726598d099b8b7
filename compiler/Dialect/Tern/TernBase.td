// The `tern` dialect: attributes and types.
#ifndef TERN_BASE_TD
#define TERN_BASE_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"

def Tern_Dialect : Dialect {
  let name = "tern";
  let cppNamespace = "::tern";
  let summary = "Language-model graphs: named model ops and structured ops on tensors";
  let description = [{
    A model is a module that holds `tern.weight` and `tern.kv_cache` symbols and one function per
    entry (`forward` for language models). Values are tensors whose element type is the logical type;
    how elements are stored is the tensor's encoding attribute (`#tern.enc` for weights, `#tern.act`
    for quantized activations; none means plain f32 or i32).

    A leading dynamic dimension stands for a symbol, given by the argument attribute `tern.dim`:
    `"T"`, the rows of a call, `"R"`, the rows whose logits are wanted, or a multiple of the first: `"8T"`, eight rows
    for each row of the call (one for each of the experts it is routed to).

    The fuse and form-kernels passes move ops into isolated `tern.kernel` regions that `tern.launch`
    calls; the plan dialect takes over from there.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::func::FuncDialect"];
}

class Tern_Attr<string name, string attrMnemonic> : AttrDef<Tern_Dialect, name> {
  let mnemonic = attrMnemonic;
}
class Tern_Type<string name, string typeMnemonic> : TypeDef<Tern_Dialect, name> {
  let mnemonic = typeMnemonic;
}

def Tern_EncodingAttr : Tern_Attr<"Encoding", "enc"> {
  let summary = "how a weight's elements are stored: codes, groups, scales and the target layout";
  let description = [{
    value = scale(group) * (code - zero), or + minimum(group) with `min`; the scales of the groups of a
    `super` group may be integers under a scale of their own (`super_scale`). Codes, scale types and the
    formulas are in `compiler/Encoding/Encoding.h`. The layout is set by `tern-choose-layouts`; without one the
    weight lies as its source has it.

    ```mlir
    tensor<5632x2048xf32, #tern.enc<ternary, group = 256, scale = f16>>
    tensor<5632x2048xf32, #tern.enc<ternary, group = 256, scale = f16, layout = "rows32">>
    tensor<5632x2048xf32, #tern.enc<uint4, group = 32, scale = f16, min>>
    tensor<5632x2048xf32, #tern.enc<uint4, group = 32, scale = u6, min, super = 256, super_scale = f16>>
    tensor<32000x2048xf32, #tern.enc<f16>>
    ```
  }];
  let parameters = (ins "::tern::CodeKind":$codes, "unsigned":$groupSize, "::tern::ScaleType":$scale,
                        "bool":$minimum, "unsigned":$superSize, "::tern::ScaleType":$superScale,
                        OptionalParameter<"::mlir::StringAttr">:$layout);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// The encoding as the compiler's plain libraries see it.
    ::tern::EncodingDesc desc() const;
    static EncodingAttr get(::mlir::MLIRContext *context, const ::tern::EncodingDesc &desc,
                            ::mlir::StringAttr layout = {});
  }];
}

def Tern_ActivationAttr : Tern_Attr<"Activation", "act"> {
  let summary = "int8 activations: codes in -127..127, one f32 scale per group of a row";
  let description = [{
    `group` is the number of elements that share a scale, `row` one scale for the whole row.
    `sums` asks for the sums of the codes over so many elements beside them: a linear op whose weight
    codes have a non-zero zero point needs them. Left out when not needed.

    ```mlir
    tensor<?x2048xf32, #tern.act<group = 32, sums = 32>>
    tensor<?x2048xf32, #tern.act<group = row, sums = 256>>
    ```
  }];
  let parameters = (ins "unsigned":$groupSize, "unsigned":$sumSize);
  let hasCustomAssemblyFormat = 1;
}

def Tern_ExpertRowsAttr : Tern_Attr<"ExpertRows", "expert_rows"> {
  let summary = "which rows each expert of a mixture takes";
  let description = [{
    Row t of a call is routed to `used` of `experts` experts; pair t * used + j is its j-th. The value lists the pairs
    by expert, in blocks that one expert takes together (`compiler/Kernels/ExpertRows.h`).

    ```mlir
    tensor<?xi32, #tern.expert_rows<experts = 64, used = 8>>
    ```
  }];
  let parameters = (ins "unsigned":$experts, "unsigned":$used);
  let assemblyFormat = "`<` struct(params) `>`";
}

def Tern_FileAttr : Tern_Attr<"File", "file"> {
  let summary = "a weight's bytes in an input file";
  let description = [{
    `index` numbers the module's input files (their paths are the driver's, never the artifact's);
    `format` is a block format of `compiler/Encoding/BlockFormat.h`. `scale` is that of every group, for formats
    whose blocks have none.

    ```mlir
    #tern.file<index = 0, offset = 4096, size = 270336, format = "tq2_0">
    ```
  }];
  let parameters = (ins "uint32_t":$index, "uint64_t":$offset, "uint64_t":$size,
                        StringRefParameter<>:$format, OptionalParameter<"::mlir::FloatAttr">:$scale);
  let assemblyFormat = "`<` struct(params) `>`";
}

def Tern_RopeTableAttr : Tern_Attr<"RopeTable", "rope_table"> {
  let summary = "a weight the compiler computes: cosines and sines of rotary positions";
  let description = [{
    The table has `256 + ceil(positions / 256)` rows of (cos, sin) pairs, one pair per frequency: row r < 256
    holds the angles r * f, row 256 + h the angles 256 * h * f, so that position p is the complex product of rows
    p % 256 and 256 + p / 256. `magnitude` multiplies the first 256 rows (YaRN's attention factor).

    ```mlir
    #tern.rope_table<positions = 2048, magnitude = 1.0, frequencies = [1.0, 0.1, 0.01]>
    ```
  }];
  let parameters = (ins "uint64_t":$positions, "::mlir::FloatAttr":$magnitude,
                        "::mlir::DenseF64ArrayAttr":$frequencies);
  let assemblyFormat = "`<` struct(params) `>`";
  let extraClassDeclaration = [{
    /// Rows of the angles below 256 positions, before those of whole blocks of 256.
    static constexpr int64_t fineRows = 256;
    /// All rows of a table of so many positions.
    static int64_t rowsOf(uint64_t positions) {
      return fineRows + int64_t((positions + fineRows - 1) / fineRows);
    }
  }];
}

def Tern_PartsAttr : Tern_Attr<"Parts", "parts"> {
  let summary = "a weight made of other weights";
  let description = [{
    `concat` appends rows ([N1 + N2, K]); `stack` adds a leading axis ([parts, N, K]), whose parts the packed
    layout interleaves tile by tile. The named weights no longer reach the artifact themselves.

    ```mlir
    #tern.parts<concat, [@q, @k, @v]>
    ```
  }];
  let parameters = (ins "bool":$stacked, ArrayRefParameter<"::mlir::FlatSymbolRefAttr">:$weights);
  let hasCustomAssemblyFormat = 1;
}

def Tern_KvType : Tern_Type<"Kv", "kv"> {
  let summary = "a layer's key / value cache after the stores that precede";
  let description = [{
    SSA use order is the order of effects: `tern.kv_store` returns the cache that `tern.attention` reads.
    `window` is 0 for unlimited attention. `element` is f16, f32 or i8: codes that a scale turns into numbers, one
    scale for each position, head, and key or value.

    ```mlir
    !tern.kv<heads = 4, head_size = 64, value_size = 64, window = 0, element = f16>
    ```
  }];
  let parameters = (ins "unsigned":$heads, "unsigned":$headSize, "unsigned":$valueSize,
                        "unsigned":$window, "::mlir::Type":$element);
  let assemblyFormat = [{
    `<` `heads` `=` $heads `,` `head_size` `=` $headSize `,` `value_size` `=` $valueSize `,`
        `window` `=` $window `,` `element` `=` $element `>`
  }];
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Positions of one cache block, the unit of the block table.
    static constexpr unsigned blockPositions = 64;
    /// Keys lie in tiles of this many positions, [head_size][16].
    static constexpr unsigned keyTile = 16;
    /// An f16 scale beside the codes of each position and head.
    static constexpr unsigned scaleBytes = 2;
    bool hasScales() const { return getElement().isInteger(8); }
    uint64_t keyBlockBytes() const;
    uint64_t valueBlockBytes() const;
  }];
}
#endif
