// Policies that tern-quantize refuses.
// RUN: not tern-opt %s -tern-quantize=policy=int5 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not tern-opt %s -tern-quantize=policy=int8,int4 2>&1 | FileCheck %s --check-prefix=TWICE
// RUN: not tern-opt %s -tern-quantize=policy=keep,w=int3 2>&1 | FileCheck %s --check-prefix=RULE
// RUN: not tern-opt %s -tern-quantize=policy=nothing.*=f16 2>&1 | FileCheck %s --check-prefix=UNUSED
// RUN: not tern-opt %s -tern-quantize=policy=w=f16,*=keep 2>&1 | FileCheck %s --check-prefix=SHADOWED
// RUN: not tern-opt %s -tern-quantize=policy=ternary 2>&1 | FileCheck %s --check-prefix=GROUP
// RUN: tern-opt %s -tern-quantize=policy=ternary,w=keep | FileCheck %s --check-prefix=KEEP

// UNKNOWN: error: unknown quantization policy 'int5'; known are keep, int8, int4, int4:gN, int4:gN:min (N = 32, 64, 128, 256), ternary, ternary-b3, quaternary, f32, f16, bf16, q8_0, {{.*}}, q6_k, {{.*}}tq2_0; and for all weights together budget:SIZE and bits:B
// TWICE: error: two plain quantization policies in 'int8,int4'; write PATTERN=POLICY for all but one
// RULE: error: unknown quantization policy 'int3'
// UNUSED: error: quantization pattern 'nothing.*' decides no weight: it matches none, or later patterns match them all; weights are named as in the input file, e.g. 'w'
// SHADOWED: error: quantization pattern 'w' decides no weight
// GROUP: error: weight 'w' has rows of 96 elements, no multiple of the group of 256 that its quantization policy asks for; add 'w=keep' or another policy for it to --quantize
// KEEP: tern.weight @w : tensor<64x96xf32>
tern.weight @w : tensor<64x96xf32> from #tern.file<index = 0, offset = 0, size = 24576, format = "f32">
func.func @forward(%x: tensor<?x96xf32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  %w = tern.param @w : tensor<64x96xf32>
  %y = tern.linear %x, %w : tensor<?x96xf32>, tensor<64x96xf32> -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
