// Renders parsed Jinja for the compiler's probing of chat templates.
//
// Not for run time: an artifact holds no Jinja. What is not implemented is an error, never a guess.
#ifndef TERN_COMPILER_TEXT_JINJAEVALUATOR_H
#define TERN_COMPILER_TEXT_JINJAEVALUATOR_H

#include "compiler/Text/JinjaSyntax.h"
#include "compiler/Text/JinjaValue.h"

#include "llvm/ADT/ArrayRef.h"

namespace tern::jinja {

struct RenderResult {
  enum class Outcome {
    rendered,
    refused,    ///< the template called raise_exception
    unsupported ///< it did something this evaluator or Python does not know
  };
  Outcome outcome;
  std::string text; ///< the rendered text, or why there is none
};

/// Renders with `variables`, a dictionary. Time and output are bounded whatever the template does.
RenderResult render(llvm::ArrayRef<Statement> statements, const Value &variables);

} // namespace tern::jinja

#endif
