// Two matrices stacked, as gate and up projections are, of the encoding put in place of ENCODING.
tern.weight @w : tensor<2x256x512xf32, #tern.enc<ENCODING>> from #tern.file<index = 0, offset = 0, size = 1048576, format = "f32">
func.func @forward(%x: tensor<?x512xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<2x256x512xf32, #tern.enc<ENCODING>>
  %both = tern.linear %x, %w : tensor<?x512xf32>, tensor<2x256x512xf32, #tern.enc<ENCODING>> -> tensor<?x2x256xf32>
  %gate = tern.slice %both dim 1 from 0 length 1 drop : tensor<?x2x256xf32> -> tensor<?x256xf32>
  %up = tern.slice %both dim 1 from 1 length 1 drop : tensor<?x2x256xf32> -> tensor<?x256xf32>
  %y = tern.map(%gate, %up) : (tensor<?x256xf32>, tensor<?x256xf32>) -> tensor<?x256xf32> {
  ^bb0(%g: f32, %u: f32):
    %product = arith.mulf %g, %u : f32
    tern.yield %product : f32
  }
  return %y : tensor<?x256xf32>
}
