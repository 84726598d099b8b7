// Kernels made by hand with Halide, for tests of code generation that need no kernel library.
#ifndef TERN_TEST_UNIT_CODEGEN_TRIVIALKERNEL_H
#define TERN_TEST_UNIT_CODEGEN_TRIVIALKERNEL_H

#include "Halide.h"
#include "compiler/Kernels/KernelGenerator.h"
#include "targets/TargetInfo.h"
#include "gtest/gtest.h"
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <unistd.h>

namespace tern {

inline std::string halideBitcode(Halide::Func function,
                                 const std::vector<Halide::Argument> &arguments,
                                 const std::string &name, const std::string &target) {
  char path[] = "/tmp/tern-trivial-XXXXXX";
  close(mkstemp(path));
  function.compile_to_bitcode(path, arguments, name, Halide::Target(target));
  std::ifstream stream(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(stream)), {});
  remove(path);
  return bytes;
}

inline constexpr const char *trivialTarget =
    "x86-64-linux-avx2-fma-f16c-sse41-no_runtime-no_asserts-no_bounds_query";

/// The target that trivialTarget fits.
inline TargetInfo avx2() {
  llvm::Expected<TargetInfo> target = lookupTarget("x86_64-avx2");
  EXPECT_TRUE(bool(target)) << llvm::toString(target.takeError());
  return *target;
}

/// Rows of 8 f32: in [rows][8], out [rows][8] of the task's rows.
inline ParameterBinding rowsBinding(unsigned argument) {
  ParameterBinding p{ParameterBinding::Kind::Buffer, {}, {}};
  p.buffer.argument = argument;
  p.buffer.typeCode = 2; // float
  p.buffer.typeBits = 32;
  Affine first, count;
  first.perFirst = 1;
  count.perFirst = -1;
  count.perLast = 1;
  p.buffer.dimensions.push_back({Affine{0}, Affine{8}, Affine{1}});
  p.buffer.dimensions.push_back({first, count, Affine{8}});
  return p;
}

/// out[t][i] = in[t][i] * factor(variant) + first, one task a row; one row: factor 2, more:
/// factor 3.
inline GeneratedKernel trivialKernel(const std::string &name) {
  using namespace Halide;
  GeneratedKernel kernel;
  kernel.signature.name = name;
  for (const char *argument : {"in", "out"})
    kernel.signature.arguments.push_back(
        {argument, Access::Read, {"", perRow(DimSymbol::Tokens, 32), Space::Arena}, false, 0, 0});
  for (int factor : {2, 3}) {
    ImageParam in(Float(32), 2, "in");
    Param<int> first("first");
    Func f("scale");
    Var i("i"), t("t");
    f(i, t) = in(i, t) * float(factor) + cast<float>(first);
    KernelVariant variant;
    variant.functionName = name + "_times" + std::to_string(factor);
    variant.bitcode = halideBitcode(f, {in, first}, variant.functionName, trivialTarget);
    ParameterBinding scalar{ParameterBinding::Kind::Scalar, {}, {}};
    scalar.scalar.perFirst = 1;
    variant.parameters = {rowsBinding(0), scalar, rowsBinding(1)};
    variant.minRows = factor == 2 ? 1 : 2;
    variant.maxRows = factor == 2 ? 1 : INT32_MAX;
    kernel.variants.push_back(std::move(variant));
  }
  return kernel;
}

} // namespace tern
#endif
