// The `plan` dialect: what the runtime executes. One program per function and target; the artifact's
// Plan table (schema/tern.fbs) is this dialect in binary.
#ifndef PLAN_OPS_TD
#define PLAN_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Plan_Dialect : Dialect {
  let name = "plan";
  let cppNamespace = "::tern::plan";
  let summary = "Execution plans: buffers at fixed places and the commands over them";
  let description = [{
    Everything is decided here: where each buffer lies, which kernel runs on which buffers, when weights are
    needed. Sizes are `#plan.extent<constant, per token, per wanted row>`.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
}

def Plan_ExtentAttr : AttrDef<Plan_Dialect, "Extent"> {
  let mnemonic = "extent";
  let summary = "constant + perToken * T + perWanted * R";
  let description = [{
    ```mlir
    #plan.extent<0, 8192, 0>
    ```
  }];
  let parameters = (ins "uint64_t":$constant, "uint64_t":$perToken, "uint64_t":$perWanted);
  let assemblyFormat = "`<` $constant `,` $perToken `,` $perWanted `>`";
  let extraClassDeclaration = [{
    uint64_t at(uint64_t t, uint64_t r) const { return getConstant() + getPerToken() * t + getPerWanted() * r; }
  }];
}

def Plan_BufferType : TypeDef<Plan_Dialect, "Buffer"> {
  let mnemonic = "buffer";
  let summary = "a range of bytes in one memory space";
}

class Plan_Op<string mnemonic, list<Trait> traits = []> : Op<Plan_Dialect, mnemonic, traits>;

def Plan_ProgramOp : Plan_Op<"program", [Symbol, SymbolTable, IsolatedFromAbove, NoTerminator, SingleBlock]> {
  let summary = "the plan of one function on one target";
  let description = [{
    ```mlir
    plan.program @forward target "x86_64-avx2" batch 64 wanted 8 {
      %x = plan.buffer "x" arena at 0 : #plan.extent<0, 256, 0>
    }
    ```
    `arena_bytes` and `arena_lower_bound` are set by memory planning.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$target, I64Attr:$max_batch, I64Attr:$max_wanted,
                       OptionalAttr<I64Attr>:$arena_bytes, OptionalAttr<I64Attr>:$arena_lower_bound);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $sym_name `target` $target `batch` $max_batch `wanted` $max_wanted attr-dict-with-keyword $body
  }];
  let builders = [OpBuilder<(ins "::mlir::StringRef":$name, "::mlir::StringRef":$target,
                                 "int64_t":$maxBatch, "int64_t":$maxWanted)>];
  let hasRegionVerifier = 1;
}

def Plan_BufferOp : Plan_Op<"buffer", [Pure]> {
  let summary = "a named range in a memory space";
  let description = [{
    Spaces: `arena` (session memory, offset set by memory planning), `tensor` (index into the artifact's
    tensors, by name in `symbol` until packing), `input` (index is the artifact's InputKind), `output`, `kv_key`,
    `kv_value`, `block_table` (those of the cache named by `symbol`).

    ```mlir
    %x = plan.buffer "x.0" arena : #plan.extent<0, 256, 0>
    %w = plan.buffer "w" tensor @blk.0.attn_q.weight : #plan.extent<8192, 0, 0>
    ```
  }];
  let arguments = (ins StrAttr:$name, StrAttr:$space, OptionalAttr<FlatSymbolRefAttr>:$symbol,
                       OptionalAttr<I64Attr>:$index, OptionalAttr<I64Attr>:$offset, Plan_ExtentAttr:$extent);
  let results = (outs Plan_BufferType:$result);
  let assemblyFormat = [{
    $name custom<Keyword>($space) ($symbol^)? (`[` $index^ `]`)? (`at` $offset^)? `:` $extent attr-dict
  }];
  let hasVerifier = 1;
}

def Plan_CallOp : Plan_Op<"call", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "run a kernel's tasks over all workers";
  let description = [{
    Buffers stand in the order of the kernel's arguments; `access` says for each whether it is read (r), written
    (w) or both (b), so that liveness needs no look at the kernel.

    ```mlir
    plan.call @linear_0(%x, %w, %y) access "rrw"
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<Plan_BufferType>:$buffers, StrAttr:$access);
  let assemblyFormat = "$kernel `(` $buffers `)` `access` $access attr-dict";
  let hasVerifier = 1;
}

def Plan_CopyOp : Plan_Op<"copy"> {
  let summary = "copy bytes between buffers";
  let description = [{
    ```mlir
    plan.copy %a to %b : #plan.extent<0, 256, 0>
    ```
  }];
  let arguments = (ins Plan_BufferType:$source, Plan_BufferType:$destination, Plan_ExtentAttr:$bytes);
  let assemblyFormat = "$source `to` $destination `:` $bytes attr-dict";
}

def Plan_FetchOp : Plan_Op<"fetch"> {
  let summary = "a weight unit is needed from here on";
  let description = [{
    ```mlir
    plan.fetch "blk.0"
    ```
  }];
  let arguments = (ins StrAttr:$unit);
  let assemblyFormat = "$unit attr-dict";
}

def Plan_FetchIndexedOp : Plan_Op<"fetch_indexed"> {
  let summary = "those of several units are needed whose numbers a buffer holds";
  let description = [{
    ```mlir
    plan.fetch_indexed ["expert.0", "expert.1"] by %ids
    ```
  }];
  let arguments = (ins StrArrayAttr:$units, Plan_BufferType:$index);
  let assemblyFormat = "$units `by` $index attr-dict";
}

def Plan_ReleaseOp : Plan_Op<"release"> {
  let summary = "a weight unit is not needed until its next fetch";
  let description = [{
    ```mlir
    plan.release "blk.0"
    ```
  }];
  let arguments = (ins StrAttr:$unit);
  let assemblyFormat = "$unit attr-dict";
}
#endif
