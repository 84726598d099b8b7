// tern/tern.h: status, runtime, model.
#include "runtime/session/Handles.h"

#include <cinttypes>

using namespace tern;
using namespace tern::runtime;

tern_status tern::runtime::report(const Status &status, tern_error *error) {
  if (error && error->struct_size > offsetof(tern_error, message)) {
    const size_t room = error->struct_size - offsetof(tern_error, message);
    error->status = tern_status(status.code());
    snprintf(error->message, room < sizeof(error->message) ? room : sizeof(error->message), "%s",
             status.message());
  }
  return tern_status(status.code());
}

const char *tern_version(void) { return TERN_VERSION; }

const char *tern_status_name(tern_status status) {
  switch (status) {
  case TERN_OK:
    return "ok";
  case TERN_INVALID_ARGUMENT:
    return "invalid argument";
  case TERN_INVALID_ARTIFACT:
    return "invalid artifact";
  case TERN_UNSUPPORTED:
    return "unsupported";
  case TERN_WRONG_CPU:
    return "wrong CPU";
  case TERN_OUT_OF_MEMORY:
    return "out of memory";
  case TERN_IO_ERROR:
    return "input/output error";
  case TERN_OUT_OF_RANGE:
    return "out of range";
  case TERN_CANCELLED:
    return "cancelled";
  case TERN_NOT_FOUND:
    return "not found";
  case TERN_BUFFER_TOO_SMALL:
    return "buffer too small";
  }
  return "unknown status";
}

static void writeLog(void *runtime, int level, const char *message) {
  // Log::context is the runtime's own copy of the options' callback.
  const auto &options = *static_cast<const tern_runtime_options *>(runtime);
  options.log(options.log_context, tern_log_level(level), message);
}

namespace {
/// A runtime and the options its log callback came from.
struct RuntimeObject : tern_runtime {
  tern_runtime_options options;
};
} // namespace

tern_status tern_runtime_create(const tern_runtime_options *options, tern_runtime **runtime,
                                tern_error *error) {
  if (Status status = requireArgument(runtime, "runtime"); !status.isOk())
    return report(status, error);
  *runtime = nullptr;
  tern_runtime_options settings = TERN_RUNTIME_OPTIONS_INIT;
  if (Status status = readStruct(options, settings, "tern_runtime_options"); !status.isOk())
    return report(status, error);
  if (!settings.allocate != !settings.deallocate)
    return report(Status::error(StatusCode::invalidArgument,
                                "allocate and deallocate are given together or not at all"),
                  error);
  if (settings.threads > ThreadPool::maxWorkers)
    return report(Status::error(StatusCode::invalidArgument,
                                "%" PRIu32 " threads, at most %" PRIu32, settings.threads,
                                ThreadPool::maxWorkers),
                  error);
  const Allocator allocator = {settings.allocate, settings.deallocate, settings.allocator_context};
  RuntimeObject *object = createObject<RuntimeObject>(allocator);
  if (!object)
    return report(Status::error(StatusCode::outOfMemory, "cannot allocate a runtime"), error);
  object->allocator = allocator;
  object->threads = settings.threads;
  object->options = settings;
  if (settings.log)
    object->log = {writeLog, &object->options};
  *runtime = object;
  return TERN_OK;
}

void tern::runtime::release(tern_runtime *runtime) {
  if (runtime->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
    destroyObject(runtime->allocator, static_cast<RuntimeObject *>(runtime));
}

void tern::runtime::release(tern_model *model) {
  if (model->references.fetch_sub(1, std::memory_order_acq_rel) != 1)
    return;
  tern_runtime *runtime = model->runtime;
  destroyObject(runtime->allocator, model);
  release(runtime);
}

void tern_runtime_destroy(tern_runtime **runtime) {
  if (runtime && *runtime)
    release(std::exchange(*runtime, nullptr));
}

void tern_model_destroy(tern_model **model) {
  if (model && *model)
    release(std::exchange(*model, nullptr));
}

/// Leaves `tokenizer` alone if the artifact has none.
static Status openTokenizer(const fb::Artifact &artifact, text::Tokenizer &tokenizer) {
  if (!artifact.tokenizer())
    return {};
  const Result<text::Tokenizer> result = text::Tokenizer::create(artifact.tokenizer());
  if (result.isOk())
    tokenizer = *result;
  return result.status();
}

/// `linked` outlives `result`.
static Status readLinkedCode(const tern_linked_code &linked, const char *target,
                             LinkedCode &result) {
  if (!linked.target || !linked.kernels)
    return Status::error(StatusCode::invalidArgument, "tern_linked_code has no target or kernels");
  for (size_t i = 0; i < linked.kernel_count; ++i)
    TERN_RETURN_IF_ERROR(
        requireArgument(reinterpret_cast<const void *>(linked.kernels[i]), "a linked kernel"));
  if (target && strcmp(target, linked.target) != 0)
    return Status::error(StatusCode::invalidArgument,
                         "target '%.64s' is asked for, but the linked kernels are for '%.64s'",
                         target, linked.target);
  result = {linked.target, linked.code_digest, linked.kernels, linked.kernel_count};
  return {};
}

static Status loadModel(tern_runtime *runtime, Source source, const tern_model_options *options,
                        tern_model **model) {
  tern_model_options settings = TERN_MODEL_OPTIONS_INIT;
  TERN_RETURN_IF_ERROR(readStruct(options, settings, "tern_model_options"));
  uint32_t weights; // read as a number: the caller's value may be none of the enumeration's
  memcpy(&weights, &settings.weights, sizeof(weights));
  if (weights > TERN_WEIGHTS_STREAM)
    return Status::error(StatusCode::invalidArgument, "weights mode %" PRIu32 " is not known",
                         weights);
  ModelOptions modelOptions;
  modelOptions.weights = WeightsMode(weights);
  modelOptions.streamBytes = settings.stream_bytes;
  if (settings.stream_bytes && weights != TERN_WEIGHTS_STREAM)
    return Status::error(StatusCode::invalidArgument,
                         "stream_bytes is given, but the weights mode is not TERN_WEIGHTS_STREAM");
  modelOptions.target = settings.target;
  tern_linked_code linked = {};
  if (settings.linked_code) {
    TERN_RETURN_IF_ERROR(readStruct(settings.linked_code, linked, "tern_linked_code"));
    TERN_RETURN_IF_ERROR(readLinkedCode(linked, settings.target, modelOptions.linked));
  }
  tern_model *object = createObject<tern_model>(runtime->allocator);
  if (!object)
    return Status::error(StatusCode::outOfMemory, "cannot allocate a model");
  runtime->references.fetch_add(1, std::memory_order_relaxed);
  object->runtime = runtime;
  Status status =
      Model::load(std::move(source), modelOptions, runtime->allocator, runtime->log, object->model);
  if (status.isOk())
    status = openTokenizer(object->model.artifact(), object->tokenizer);
  if (!status.isOk()) {
    release(object);
    return status;
  }
  object->hasTokenizer = object->model.artifact().tokenizer() != nullptr;
  *model = object;
  return {};
}

/// Checks the arguments all loading functions share and clears the result.
static Status prepareLoad(tern_runtime *runtime, const void *input, const char *inputName,
                          tern_model **model) {
  TERN_RETURN_IF_ERROR(requireArgument(model, "model"));
  *model = nullptr;
  TERN_RETURN_IF_ERROR(requireArgument(runtime, "runtime"));
  return requireArgument(input, inputName);
}

/// The end of a path: the message has little room.
static Status nameFile(const char *path, const Status &status) {
  constexpr size_t shown = 80;
  const size_t size = strlen(path);
  return Status::error(status.code(), "%s: %s", size > shown ? path + size - shown : path,
                       status.message());
}

tern_status tern_model_load_file(tern_runtime *runtime, const char *path,
                                 const tern_model_options *options, tern_model **model,
                                 tern_error *error) {
  Status status = prepareLoad(runtime, path, "path", model);
  if (!status.isOk())
    return report(status, error);
  Source source;
  status = Source::openFile(path, source);
  if (status.isOk())
    if (status = loadModel(runtime, std::move(source), options, model); !status.isOk())
      status = nameFile(path, status);
  return report(status, error);
}

tern_status tern_model_load_memory(tern_runtime *runtime, const void *data, size_t size,
                                   const tern_model_options *options, tern_model **model,
                                   tern_error *error) {
  Status status = prepareLoad(runtime, data, "data", model);
  if (status.isOk())
    status = loadModel(runtime, Source::fromMemory(data, size), options, model);
  return report(status, error);
}

tern_status tern_model_load_fd(tern_runtime *runtime, int fd, uint64_t offset, uint64_t length,
                               const tern_model_options *options, tern_model **model,
                               tern_error *error) {
  Status status = prepareLoad(runtime, runtime, "runtime", model);
  Source source;
  if (status.isOk())
    status = Source::openDescriptor(fd, offset, length, source);
  if (status.isOk())
    status = loadModel(runtime, std::move(source), options, model);
  return report(status, error);
}

tern_status tern_model_load_callback(tern_runtime *runtime, tern_read_callback read, void *context,
                                     uint64_t length, const tern_model_options *options,
                                     tern_model **model, tern_error *error) {
  Status status = prepareLoad(runtime, reinterpret_cast<const void *>(read), "read", model);
  if (status.isOk())
    status = loadModel(runtime, Source::fromCallback(read, context, length), options, model);
  return report(status, error);
}

static Status verifySource(const tern_runtime &runtime, const Source &source) {
  ArtifactTable table;
  text::Tokenizer tokenizer;
  TERN_RETURN_IF_ERROR(verifyArtifact(source, runtime.allocator, table));
  return openTokenizer(*table, tokenizer);
}

tern_status tern_verify_file(tern_runtime *runtime, const char *path, tern_error *error) {
  Status status = requireArgument(runtime, "runtime");
  if (status.isOk())
    status = requireArgument(path, "path");
  Source source;
  if (status.isOk())
    status = Source::openFile(path, source);
  if (status.isOk())
    if (status = verifySource(*runtime, source); !status.isOk())
      status = nameFile(path, status);
  return report(status, error);
}

tern_status tern_verify_fd(tern_runtime *runtime, int fd, uint64_t offset, uint64_t length,
                           tern_error *error) {
  Status status = requireArgument(runtime, "runtime");
  Source source;
  if (status.isOk())
    status = Source::openDescriptor(fd, offset, length, source);
  if (status.isOk())
    status = verifySource(*runtime, source);
  return report(status, error);
}

tern_status tern_model_get_info(const tern_model *model, tern_model_info *info, tern_error *error) {
  if (Status status = requireArgument(model, "model"); !status.isOk())
    return report(status, error);
  const Model &loaded = model->model;
  const fb::Artifact &artifact = loaded.artifact();
  const fb::Plan *forward = loaded.plan("forward");
  const fb::ChatTemplate *chat = model->chatTemplate();
  tern_model_info value = TERN_MODEL_INFO_INIT;
  value.vocabulary_size = artifact.vocabulary_size();
  value.context_length = artifact.context_length();
  value.max_batch = artifact.max_batch();
  value.max_wanted = artifact.max_wanted();
  value.variant_count = sizeOf(artifact.variants());
  value.kernel_count = sizeOf(loaded.variant().kernels());
  value.has_tokenizer = model->hasTokenizer;
  value.has_chat_template = model->hasTokenizer && chat && chat->family();
  value.target = loaded.variant().target()->c_str();
  value.file_bytes = artifact.file_size();
  value.code_bytes = loaded.variant().code()->size();
  value.weight_bytes = loaded.figures().weightBytes;
  value.mapped_weight_bytes = loaded.figures().mappedWeightBytes;
  value.weight_bytes_per_token = loaded.figures().weightBytesPerToken;
  value.arena_bytes = forward ? forward->arena_bytes() : 0;
  value.arena_lower_bound = forward ? forward->arena_lower_bound() : 0;
  value.kv_bytes_per_token = loaded.figures().kvBytesPerToken;
  if (forward)
    value.hidden_size = hiddenSize(*artifact.functions()->Get(forward->function()));
  return report(writeStruct(value, info, "tern_model_info"), error);
}

const char *tern_model_metadata(const tern_model *model, const char *key) {
  if (!model || !key)
    return nullptr;
  const auto *entries = model->model.artifact().metadata();
  for (uint32_t i = 0; i < sizeOf(entries); ++i)
    if (strcmp(entries->Get(i)->key()->c_str(), key) == 0)
      return textOf(entries->Get(i)->value());
  return nullptr;
}

void tern_model_metadata_at(const tern_model *model, size_t index, const char **key,
                            const char **value) {
  const auto *entries = model ? model->model.artifact().metadata() : nullptr;
  const bool exists = index < sizeOf(entries);
  *key = exists ? entries->Get(uint32_t(index))->key()->c_str() : nullptr;
  *value = exists ? textOf(entries->Get(uint32_t(index))->value()) : nullptr;
}
