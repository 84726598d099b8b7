// The C interface of the runtime with ownership and errors as the tern program wants them: handles
// destroy themselves, failures are InputError naming the model's file.
#ifndef TERN_TOOLS_TERN_MODEL_H
#define TERN_TOOLS_TERN_MODEL_H

#include "tern/tern.h"
#include "tools/tern/Options.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tern::cli {

template <auto destroy> struct HandleDeleter {
  template <typename Handle> void operator()(Handle *handle) const { destroy(&handle); }
};
using RuntimeHandle = std::unique_ptr<tern_runtime, HandleDeleter<tern_runtime_destroy>>;
using ModelHandle = std::unique_ptr<tern_model, HandleDeleter<tern_model_destroy>>;
using SessionHandle = std::unique_ptr<tern_session, HandleDeleter<tern_session_destroy>>;

/// Throws InputError "OBJECT: message" unless `status` is TERN_OK.
void check(tern_status status, const tern_error &error, const std::string &object);

/// A runtime whose warnings go to stderr.
RuntimeHandle createRuntime();

/// Throws unless `path` is a regular file that can be read: the runtime then need not name it.
void requireReadableFile(const std::string &path);

/// An open file.
class FileDescriptor {
public:
  /// Throws as requireReadableFile does.
  explicit FileDescriptor(const std::string &path);
  FileDescriptor(const FileDescriptor &) = delete;
  FileDescriptor &operator=(const FileDescriptor &) = delete;
  ~FileDescriptor();
  int get() const { return descriptor; }
  uint64_t size() const { return bytes; }

private:
  int descriptor;
  uint64_t bytes;
};

/// Throws unless the artifact is signed by the key and all its digests are right. The file must
/// not change afterwards.
void requireSigned(tern_runtime *runtime, const FileDescriptor &file, const std::string &path,
                   const std::string &keyFile);

class Model {
public:
  /// Context length the runtime chooses at most when --context is absent.
  static constexpr uint32_t defaultContext = 4096;

  /// `requireKey`: as EngineOptions.
  Model(std::string path, const WeightsChoice &weights, const std::string &requireKey);

  const std::string &path() const { return name; }
  tern_model *handle() const { return model.get(); }
  const tern_model_info &info() const { return figures; }
  /// Positions of a session made with --context = `requested` (0: absent).
  uint32_t contextFor(uint32_t requested) const;

  SessionHandle createSession(const EngineOptions &options, uint32_t slots = 1) const;
  tern_memory_estimate estimate(uint32_t context, uint32_t threads) const;

  std::vector<int32_t> tokenize(std::string_view text, uint32_t flags) const;
  std::string detokenize(const std::vector<int32_t> &tokens) const;
  /// The conversation in the model's chat template, up to where the answer begins.
  std::vector<int32_t> chatTokens(const std::vector<tern_chat_message> &messages) const;
  /// Throws unless every id is below the vocabulary size.
  void requireTokens(const std::vector<int32_t> &tokens) const;

private:
  std::string name;
  RuntimeHandle runtime;
  ModelHandle model;
  tern_model_info figures = TERN_MODEL_INFO_INIT;
};

} // namespace tern::cli

#endif
