// What tern-lower-to-plan refuses.
// RUN: tern-opt %s -tern-lower-to-plan -split-input-file -verify-diagnostics

func.func @forward(%x: tensor<?x64xf32> {tern.dim = "T"}, %w: tensor<64xf32> {tern.dim = "T"}) {
  // expected-error@+1 {{'tern.rms_norm' op is not a launch; run tern-form-kernels first}}
  %n = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  return
}

// -----
// expected-error@+1 {{argument 0 of 'forward' has no tern.dim}}
func.func @forward(%x: tensor<?x64xf32>) {
  return
}

// -----
// expected-error@+1 {{argument 0 must be a plain tensor}}
func.func @forward(%x: tensor<?x64xf32, #tern.act<group = 32>> {tern.dim = "T"}) {
  return
}

// -----
// expected-error@+1 {{result 0 of 'forward' is not the result of a kernel}}
func.func @forward(%x: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  return %x : tensor<?x64xf32>
}

// -----
tern.kernel @k(%x: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  tern.yield %x : tensor<?x64xf32>
}
// expected-error@+1 {{result 1 of 'forward' is the same value as result 0}}
func.func @forward(%x: tensor<?x64xf32> {tern.dim = "T"}) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %y = tern.launch @k(%x) : (tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y, %y : tensor<?x64xf32>, tensor<?x64xf32>
}
