// Which weights --quantize is about, and how one of them gets another encoding.
#ifndef TERN_COMPILER_TRANSFORMS_WEIGHTENCODING_H
#define TERN_COMPILER_TRANSFORMS_WEIGHTENCODING_H

#include "compiler/Dialect/Tern/TernDialect.h"

namespace tern {

/// True for the matrices of linear ops and embeddings.
bool isQuantizedMatrix(ParamOp param);

/// Changes the type of a weight and of its access; its source stays, the packer re-encodes.
void setEncoding(ParamOp param, WeightOp weight, const EncodingDesc &encoding);

} // namespace tern
#endif
