// Mixtures of experts: round trip, and what the verifiers refuse.
// RUN: tern-opt %s -verify-diagnostics -split-input-file | tern-opt -split-input-file | FileCheck %s

#f = #tern.enc<f16>
#rows = #tern.expert_rows<experts = 4, used = 2>

// CHECK-LABEL: func.func @mixture
// CHECK: %[[IDS:.*]], %[[P:.*]] = tern.route %{{.*}} {normalize} : tensor<?x4xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
// CHECK-NEXT: %[[ROWS:.*]] = tern.expert_rows %[[IDS]] : tensor<?x2xi32> -> tensor<?xi32, #tern.expert_rows<experts = 4, used = 2>>
// CHECK-NEXT: %[[UP:.*]] = tern.linear %{{.*}}, %{{.*}} experts %[[ROWS]] : tensor<?x64xf32>, tensor<2x128x64xf32, {{.*}}> experts tensor<?xi32, {{.*}}> -> tensor<?x2x32xf32>
// CHECK: tern.linear %{{.*}}, %{{.*}} experts %[[ROWS]] paired : tensor<?x32xf32>, tensor<256x32xf32, {{.*}}> experts tensor<?xi32, {{.*}}> -> tensor<?x64xf32>
// CHECK-NEXT: tern.combine %{{.*}}, %[[P]] : tensor<?x64xf32>, tensor<?x2xf32> -> tensor<?x64xf32>
func.func @mixture(%x: tensor<?x64xf32>, %l: tensor<?x4xf32>, %u: tensor<2x128x64xf32, #f>,
                   %d: tensor<256x32xf32, #f>) -> tensor<?x64xf32> {
  %ids, %p = tern.route %l {normalize} : tensor<?x4xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  %r = tern.expert_rows %ids : tensor<?x2xi32> -> tensor<?xi32, #rows>
  %y = tern.linear %x, %u experts %r : tensor<?x64xf32>, tensor<2x128x64xf32, #f> experts tensor<?xi32, #rows> -> tensor<?x2x32xf32>
  %s = tern.slice %y dim 1 from 0 length 1 drop : tensor<?x2x32xf32> -> tensor<?x32xf32>
  %z = tern.linear %s, %d experts %r paired : tensor<?x32xf32>, tensor<256x32xf32, #f> experts tensor<?xi32, #rows> -> tensor<?x64xf32>
  %c = tern.combine %z, %p : tensor<?x64xf32>, tensor<?x2xf32> -> tensor<?x64xf32>
  return %c : tensor<?x64xf32>
}

// -----
func.func @f(%l: tensor<?x4xf32>) {
  // expected-error@+1 {{cannot choose 5 of 4 experts}}
  %ids, %p = tern.route %l : tensor<?x4xf32> -> tensor<?x5xi32>, tensor<?x5xf32>
  return
}

// -----
func.func @f(%l: tensor<?x4xf32>) {
  // expected-error@+1 {{results must be i32 and f32 of one shape}}
  %ids, %p = tern.route %l : tensor<?x4xf32> -> tensor<?x2xi32>, tensor<?x3xf32>
  return
}

// -----
func.func @f(%i: tensor<?x2xi32>) {
  // expected-error@+1 {{result must be #tern.expert_rows, got 'tensor<?xi32>'}}
  %r = tern.expert_rows %i : tensor<?x2xi32> -> tensor<?xi32>
  return
}

// -----
func.func @f(%i: tensor<?x2xi32>) {
  // expected-error@+1 {{ids dimension 1 is 2, expected 3}}
  %r = tern.expert_rows %i : tensor<?x2xi32> -> tensor<?xi32, #tern.expert_rows<experts = 4, used = 3>>
  return
}

// -----
func.func @f(%i: tensor<?x2xf32>) {
  // expected-error@+1 {{ids must be i32}}
  %r = tern.expert_rows %i : tensor<?x2xf32> -> tensor<?xi32, #tern.expert_rows<experts = 4, used = 2>>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<130x64xf32, #tern.enc<f16>>, %r: tensor<?xi32, #tern.expert_rows<experts = 4, used = 2>>) {
  // expected-error@+1 {{cannot hold 4 experts of equal size}}
  %y = tern.linear %x, %w experts %r : tensor<?x64xf32>, tensor<130x64xf32, #tern.enc<f16>> experts tensor<?xi32, #tern.expert_rows<experts = 4, used = 2>> -> tensor<?x32xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<128x64xf32, #tern.enc<f16>>, %r: tensor<?xi32>) {
  // expected-error@+1 {{experts must be #tern.expert_rows, got 'tensor<?xi32>'}}
  %y = tern.linear %x, %w experts %r : tensor<?x64xf32>, tensor<128x64xf32, #tern.enc<f16>> experts tensor<?xi32> -> tensor<?x32xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<128x64xf32, #tern.enc<f16>>, %b: tensor<32xf32>, %r: tensor<?xi32, #tern.expert_rows<experts = 4, used = 2>>) {
  // expected-error@+1 {{experts take no bias}}
  %y = tern.linear %x, %w bias %b experts %r : tensor<?x64xf32>, tensor<128x64xf32, #tern.enc<f16>>, tensor<32xf32> experts tensor<?xi32, #tern.expert_rows<experts = 4, used = 2>> -> tensor<?x32xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<128x64xf32, #tern.enc<f16>>) {
  // expected-error@+1 {{paired says something about the rows of experts, and there are none}}
  %y = tern.linear %x, %w paired : tensor<?x64xf32>, tensor<128x64xf32, #tern.enc<f16>> -> tensor<?x128xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %p: tensor<?x2xf32>) {
  // expected-error@+1 {{result dimension 1 is 32, expected 64}}
  %y = tern.combine %x, %p : tensor<?x64xf32>, tensor<?x2xf32> -> tensor<?x32xf32>
  return
}

// -----
// expected-error@+1 {{argument 0 has a dynamic dimension and needs tern.dim = "T", "R" or a multiple as "8T"}}
tern.kernel @k(%x: tensor<?x32xf32> {tern.dim = "1T"}) -> tensor<?x32xf32> {
  tern.yield %x : tensor<?x32xf32>
}
