// Verifier errors of kernels and their launches.
// RUN: tern-opt %s -verify-diagnostics -split-input-file

// expected-error@+1 {{'tern.kernel' op argument 0 has a dynamic dimension and needs tern.dim = "T", "R" or a multiple as "8T"}}
tern.kernel @k(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
  tern.yield %x : tensor<?x64xf32>
}

// -----
// expected-error@+1 {{'tern.kernel' op argument 1 has no dynamic dimension for tern.dim "T"}}
tern.kernel @k(%x: tensor<?x64xf32> {tern.dim = "T"}, %y: tensor<64xf32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  tern.yield %x : tensor<?x64xf32>
}

// -----
// expected-error@+1 {{'tern.kernel' op argument 0 has no dynamic dimension for tern.dim "T"}}
tern.kernel @k(%c: !tern.kv<heads = 2, head_size = 32, value_size = 32, window = 0, element = f16> {tern.dim = "T"},
               %x: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  tern.yield %x : tensor<?x64xf32>
}

// -----
// expected-error@+1 {{'tern.kernel' op yields types that differ from its results}}
tern.kernel @k(%x: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x32xf32> {
  tern.yield %x : tensor<?x64xf32>
}

// -----
func.func @f(%x: tensor<?x64xf32>) {
  // expected-error@+1 {{'tern.launch' op unknown kernel @k}}
  %y = tern.launch @k(%x) : (tensor<?x64xf32>) -> tensor<?x64xf32>
  return
}

// -----
tern.kernel @k(%x: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  tern.yield %x : tensor<?x64xf32>
}
func.func @f(%x: tensor<?x32xf32>) {
  // expected-error@+1 {{'tern.launch' op operand or result types differ from kernel @k}}
  %y = tern.launch @k(%x) : (tensor<?x32xf32>) -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>) {
  // expected-error@+1 {{'tern.yield' op expects parent op to be one of 'tern.map, tern.reduce, tern.kernel'}}
  tern.yield %x : tensor<?x64xf32>
}
