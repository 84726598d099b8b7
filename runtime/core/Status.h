// The runtime's one way to report failure: a code and a message in fixed storage.
//
// Nothing in the runtime throws or aborts on input. A Status owns no memory, so reporting that
// memory has run out cannot itself fail. Messages name the object, what was found, what was
// expected and, where possible, what to do. A Status that is dropped is a warning.
#ifndef TERN_RUNTIME_CORE_STATUS_H
#define TERN_RUNTIME_CORE_STATUS_H

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <utility>

namespace tern {

/// Numeric values are part of the C ABI (tern_status in tern/tern.h).
enum class StatusCode : int32_t {
  ok = 0,
  invalidArgument = 1, ///< the caller passed something the contract forbids
  invalidArtifact = 2, ///< the file is damaged, hostile or not an artifact
  unsupported = 3,     ///< well formed, but this runtime does not implement it
  wrongCpu = 4,        ///< no variant of the artifact runs on this CPU
  outOfMemory = 5,
  ioError = 6,
  outOfRange = 7, ///< token, position, slot or count beyond a limit
  cancelled = 8,
  notFound = 9, ///< the artifact has no such part (tokenizer, chat template, ...)
  bufferTooSmall = 10
};

class [[nodiscard]] Status {
public:
  static constexpr unsigned messageCapacity = 256;

  Status() { text[0] = 0; }

  /// A failure with a printf-style message, cut at messageCapacity - 1 bytes.
  [[gnu::format(printf, 2, 3)]] static Status error(StatusCode code, const char *format, ...) {
    Status result;
    result.statusCode = code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(result.text, messageCapacity, format, arguments);
    va_end(arguments);
    return result;
  }

  bool isOk() const { return statusCode == StatusCode::ok; }
  StatusCode code() const { return statusCode; }
  /// Empty for success; valid as long as this object.
  const char *message() const { return text; }

private:
  StatusCode statusCode = StatusCode::ok;
  char text[messageCapacity];
};

/// A value or the Status that says why there is none. T is default constructible and movable.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : held(std::move(value)) {}
  Result(Status failure) : failed(failure) {}

  bool isOk() const { return failed.isOk(); }
  const Status &status() const { return failed; }
  /// The value; a default-constructed one after a failure.
  T &operator*() { return held; }
  const T &operator*() const { return held; }
  T *operator->() { return &held; }
  const T *operator->() const { return &held; }

private:
  Status failed;
  T held{};
};

/// Returns from the enclosing function when `expression` is a failed Status.
#define TERN_RETURN_IF_ERROR(expression)                                                           \
  do {                                                                                             \
    if (::tern::Status ternStatus = (expression); !ternStatus.isOk())                              \
      return ternStatus;                                                                           \
  } while (false)

} // namespace tern

#endif
