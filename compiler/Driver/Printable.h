// Text of ternc's messages.
#ifndef TERN_COMPILER_DRIVER_PRINTABLE_H
#define TERN_COMPILER_DRIVER_PRINTABLE_H

#include "llvm/ADT/StringExtras.h"
#include <string>

namespace tern {

/// Names of files and options hold any byte; a message does nothing to a terminal.
inline std::string printable(std::string text) {
  for (char &c : text)
    if (llvm::isASCII(c) && !llvm::isPrint(c))
      c = '?';
  return text;
}

} // namespace tern
#endif
