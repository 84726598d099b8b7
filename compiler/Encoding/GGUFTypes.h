// The tensor types of GGUF files: names and block sizes, known or not to the rest of the compiler.
//
// The block formats of BlockFormat.h, which say what can be compiled, take their sizes from here.
// The reader of GGUF files, which is built without LLVM, checks with them that every tensor lies
// inside its file, and `tern inspect` names the types.
#ifndef TERN_COMPILER_ENCODING_GGUFTYPES_H
#define TERN_COMPILER_ENCODING_GGUFTYPES_H

#include <cstdint>
#include <string_view>

namespace tern::gguf {

struct TensorType {
  uint32_t number; ///< enum ggml_type
  const char *name;
  uint32_t blockElements;
  uint32_t blockBytes;
  uint32_t tailBytes = 0; ///< behind a tensor's last block
};

/// Sizes are those of GGML_QUANT_SIZES in the `gguf` package; I2_S is bitnet.cpp's.
inline constexpr TensorType tensorTypes[] = {
    {0, "f32", 1, 4},         {1, "f16", 1, 2},          {2, "q4_0", 32, 18},
    {3, "q4_1", 32, 20},      {6, "q5_0", 32, 22},       {7, "q5_1", 32, 24},
    {8, "q8_0", 32, 34},      {9, "q8_1", 32, 40},       {10, "q2_k", 256, 84},
    {11, "q3_k", 256, 110},   {12, "q4_k", 256, 144},    {13, "q5_k", 256, 176},
    {14, "q6_k", 256, 210},   {15, "q8_k", 256, 292},    {16, "iq2_xxs", 256, 66},
    {17, "iq2_xs", 256, 74},  {18, "iq3_xxs", 256, 98},  {19, "iq1_s", 256, 50},
    {20, "iq4_nl", 32, 18},   {21, "iq3_s", 256, 110},   {22, "iq2_s", 256, 82},
    {23, "iq4_xs", 256, 136}, {24, "i8", 1, 1},          {25, "i16", 1, 2},
    {26, "i32", 1, 4},        {27, "i64", 1, 8},         {28, "f64", 1, 8},
    {29, "iq1_m", 256, 56},   {30, "bf16", 1, 2},        {34, "tq1_0", 256, 54},
    {35, "tq2_0", 256, 66},   {36, "i2_s", 128, 32, 32}, {39, "mxfp4", 32, 17},
    {40, "nvfp4", 64, 36},    {41, "q1_0", 128, 18},     {42, "q2_0", 64, 18},
};

/// Null if the number is unknown.
constexpr const TensorType *findTensorType(uint32_t number) {
  for (const TensorType &type : tensorTypes)
    if (type.number == number)
      return &type;
  return nullptr;
}

/// Null if the name is unknown.
constexpr const TensorType *findTensorType(std::string_view name) {
  for (const TensorType &type : tensorTypes)
    if (type.name == name)
      return &type;
  return nullptr;
}

} // namespace tern::gguf
#endif
