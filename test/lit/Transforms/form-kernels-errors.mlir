// What tern-form-kernels refuses.
// RUN: tern-opt %s -tern-form-kernels -split-input-file -verify-diagnostics

func.func @foreign(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{'arith.negf' op cannot become part of a kernel}}
  %y = arith.negf %x : tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----
func.func @stacked(%x: tensor<?x64xf32> {tern.dim = "T"}, %w: tensor<2x64x64xf32>) -> tensor<?x2x64xf32> {
  // expected-error@+1 {{'tern.linear' op a stacked result must be consumed by an elementwise op of its own}}
  %y = tern.linear %x, %w : tensor<?x64xf32>, tensor<2x64x64xf32> -> tensor<?x2x64xf32>
  return %y : tensor<?x2x64xf32>
}
