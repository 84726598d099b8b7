// The one exception of the tern program: the input or the machine is at fault, exit status 1.
#ifndef TERN_TOOLS_TERN_INPUTERROR_H
#define TERN_TOOLS_TERN_INPUTERROR_H

#include <stdexcept>
#include <string>

namespace tern::cli {

class InputError : public std::runtime_error {
public:
  /// Printed as "tern: OBJECT: MESSAGE" on one line; the message says what is wrong and what to do.
  InputError(const std::string &object, const std::string &message)
      : std::runtime_error(object + ": " + message) {}
};

} // namespace tern::cli

#endif
