// A linear layer whose weights are of the encoding put in place of ENCODING.
tern.weight @w : tensor<256x512xf32, #tern.enc<ENCODING>> from #tern.file<index = 0, offset = 0, size = 524288, format = "f32">
func.func @forward(%x: tensor<?x512xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<256x512xf32, #tern.enc<ENCODING>>
  %y = tern.linear %x, %w : tensor<?x512xf32>, tensor<256x512xf32, #tern.enc<ENCODING>> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
