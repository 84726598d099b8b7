// tern/tern.h: sessions, forward, generation.
#include "runtime/session/Handles.h"

#include <cinttypes>
#include <cstring>

using namespace tern;
using namespace tern::runtime;

static_assert(TERN_MAX_LOGIT_BIASES == Generation::maxBiases);
static_assert(TERN_MAX_STOP_STRINGS == StopStrings::maxCount);
static_assert(TERN_MAX_STOP_STRING_BYTES == StopStrings::maxLength);
static_assert(TERN_MAX_TOP_LOGPROBS == LogProbabilities::maxTop);

static Status readSessionOptions(const tern_model *model, const tern_session_options *options,
                                 SessionOptions &result) {
  tern_session_options settings = TERN_SESSION_OPTIONS_INIT;
  TERN_RETURN_IF_ERROR(readStruct(options, settings, "tern_session_options"));
  result.slots = settings.slots;
  result.context = settings.context;
  result.threads = settings.threads ? settings.threads : model->runtime->threads;
  result.pinThreads = settings.flags & TERN_SESSION_PIN_THREADS;
  if (settings.flags & ~uint64_t(TERN_SESSION_PIN_THREADS))
    return Status::error(StatusCode::invalidArgument,
                         "tern_session_options.flags is %#" PRIx64 ", of which only %#x is known",
                         settings.flags, unsigned(TERN_SESSION_PIN_THREADS));
  if (result.threads == 0)
    result.threads = ThreadPool::availableCpus();
  if (result.threads > ThreadPool::maxWorkers)
    return Status::error(StatusCode::invalidArgument, "%" PRIu32 " threads, at most %" PRIu32,
                         result.threads, ThreadPool::maxWorkers);
  return {};
}

tern_status tern_session_estimate(const tern_model *model, const tern_session_options *options,
                                  tern_memory_estimate *estimate, tern_error *error) {
  Status status = requireArgument(model, "model");
  SessionOptions settings;
  SessionSizes sizes;
  if (status.isOk())
    status = readSessionOptions(model, options, settings);
  if (status.isOk())
    status = SessionSizes::compute(model->model, settings, sizes);
  if (!status.isOk())
    return report(status, error);
  tern_memory_estimate value = TERN_MEMORY_ESTIMATE_INIT;
  value.kv_bytes = sizes.kvBytes;
  value.arena_bytes = sizes.arenaBytes;
  value.scratch_bytes = sizes.scratchBytes;
  value.weight_bytes = sizes.weightBytes;
  const fb::Artifact &artifact = model->model.artifact();
  const CheckedSize sampling =
      CheckedSize(settings.slots) * (sizeof(tern_generation) + Generation::bytes(sizes.context)) +
      Sampler::bytes(artifact.vocabulary_size()) + TextStream::bytes() +
      GenerationBatch::bytes(artifact.max_batch());
  const CheckedSize other = CheckedSize(sizeof(tern_session)) + sizes.inputBytes +
                            sizes.outputBytes + sizes.tableBytes + model->model.imageBytes();
  const CheckedSize total = CheckedSize(value.kv_bytes) + value.arena_bytes + value.scratch_bytes +
                            value.weight_bytes + sampling + other;
  if (!total.isValid())
    return report(Status::error(StatusCode::outOfMemory,
                                "%" PRIu32 " slots of %" PRIu32 " positions are too many",
                                settings.slots, sizes.context),
                  error);
  value.sampling_bytes = sampling.value();
  value.other_bytes = other.value();
  value.total_bytes = total.value();
  return report(writeStruct(value, estimate, "tern_memory_estimate"), error);
}

static void destroySession(tern_session *session) {
  for (uint32_t i = 0; i < session->generationCount; ++i)
    session->generation(i)->~tern_generation();
  tern_model *model = session->model;
  destroyObject(model->runtime->allocator, session);
  release(model);
}

static Status createGenerations(tern_session &session) {
  const uint32_t slots = session.session.slots();
  TERN_RETURN_IF_ERROR(session.generationMemory.allocate(session.model->runtime->allocator,
                                                         uint64_t(slots) * sizeof(tern_generation),
                                                         "the generations"));
  for (uint32_t i = 0; i < slots; ++i) {
    tern_generation *object = new (session.generation(i)) tern_generation();
    ++session.generationCount;
    TERN_RETURN_IF_ERROR(
        object->generation.create(session.session, i, session.sampler, session.text));
  }
  return {};
}

tern_status tern_session_create(tern_model *model, const tern_session_options *options,
                                tern_session **session, tern_error *error) {
  Status status = requireArgument(session, "session");
  if (!status.isOk())
    return report(status, error);
  *session = nullptr;
  SessionOptions settings;
  status = requireArgument(model, "model");
  if (status.isOk())
    status = readSessionOptions(model, options, settings);
  if (!status.isOk())
    return report(status, error);
  const Allocator &allocator = model->runtime->allocator;
  tern_session *object = createObject<tern_session>(allocator);
  if (!object)
    return report(Status::error(StatusCode::outOfMemory, "cannot allocate a session"), error);
  model->references.fetch_add(1, std::memory_order_relaxed);
  object->model = model;
  status = object->session.create(model->model, settings);
  if (status.isOk())
    status = object->sampler.allocate(allocator, model->model.artifact().vocabulary_size());
  if (status.isOk())
    status = object->text.create(model->hasTokenizer ? &model->tokenizer : nullptr, allocator);
  if (status.isOk())
    status = object->batch.create(object->session);
  if (status.isOk())
    status = createGenerations(*object);
  if (status.isOk())
    *session = object;
  else
    destroySession(object);
  return report(status, error);
}

void tern_session_destroy(tern_session **session) {
  if (session && *session)
    destroySession(std::exchange(*session, nullptr));
}

/// A forward call up to its wanted rows.
static Status forward(tern_session *session, const tern_batch *batch, Output output,
                      WantedRows &result) {
  tern_batch rows = TERN_BATCH_INIT;
  Status status = requireArgument(session, "session");
  if (status.isOk())
    status = requireArgument(batch, "batch");
  if (status.isOk())
    status = readStruct(batch, rows, "tern_batch");
  if (!status.isOk())
    return status;
  Batch input;
  input.rows = rows.rows;
  input.tokens = rows.tokens;
  input.positions = rows.positions;
  input.slots = rows.slots;
  input.want = rows.want;
  return session->session.forward(input, &result, nullptr, output);
}

tern_status tern_forward(tern_session *session, const tern_batch *batch, tern_logits *result,
                         tern_error *error) {
  WantedRows rows;
  Status status = forward(session, batch, Output::logits, rows);
  if (status.isOk() && result) {
    tern_logits value = TERN_LOGITS_INIT;
    value.logits = rows.data;
    value.rows = rows.rows;
    value.stride = rows.stride;
    status = writeStruct(value, result, "tern_logits");
  }
  return report(status, error);
}

tern_status tern_forward_hidden(tern_session *session, const tern_batch *batch, tern_hidden *result,
                                tern_error *error) {
  WantedRows rows;
  Status status = forward(session, batch, Output::hidden, rows);
  if (status.isOk() && result) {
    tern_hidden value = TERN_HIDDEN_INIT;
    value.states = rows.data;
    value.rows = rows.rows;
    value.stride = rows.stride;
    status = writeStruct(value, result, "tern_hidden");
  }
  return report(status, error);
}

tern_status tern_generate_begin(tern_session *session, const tern_generate_options *options,
                                const int32_t *prompt, size_t prompt_size,
                                tern_generation **generation, tern_error *error) {
  Status status = requireArgument(generation, "generation");
  if (!status.isOk())
    return report(status, error);
  *generation = nullptr;
  tern_generate_options settings = TERN_GENERATE_OPTIONS_INIT;
  status = requireArgument(session, "session");
  if (status.isOk())
    status = readStruct(options, settings, "tern_generate_options");
  if (status.isOk() && settings.slot >= session->session.slots())
    status = Status::error(StatusCode::outOfRange, "slot %" PRIu32 ", the session has %" PRIu32,
                           settings.slot, session->session.slots());
  if (status.isOk() && settings.stop_string_count)
    status = requireArgument(settings.stop_strings, "tern_generate_options.stop_strings");
  if (status.isOk() && settings.logit_bias_count)
    status = requireArgument(settings.logit_biases, "tern_generate_options.logit_biases");
  if (status.isOk() && settings.logit_bias_count > TERN_MAX_LOGIT_BIASES)
    status = Status::error(StatusCode::outOfRange, "%zu logit biases, at most %d are possible",
                           settings.logit_bias_count, int(TERN_MAX_LOGIT_BIASES));
  if (!status.isOk())
    return report(status, error);
  LogitBias biases[TERN_MAX_LOGIT_BIASES];
  for (size_t i = 0; i < settings.logit_bias_count; ++i)
    biases[i] = {settings.logit_biases[i].token, settings.logit_biases[i].bias};
  GenerationOptions wanted;
  wanted.sampling.temperature = settings.temperature;
  wanted.sampling.topK = settings.top_k;
  wanted.sampling.topP = settings.top_p;
  wanted.sampling.minP = settings.min_p;
  wanted.sampling.repetitionPenalty = settings.repetition_penalty;
  wanted.sampling.frequencyPenalty = settings.frequency_penalty;
  wanted.sampling.presencePenalty = settings.presence_penalty;
  wanted.sampling.penaltyWindow = settings.penalty_window;
  wanted.sampling.biases = biases;
  wanted.sampling.biasCount = uint32_t(settings.logit_bias_count);
  wanted.stops = settings.stop_strings;
  wanted.stopCount = settings.stop_string_count;
  wanted.logProbabilities = settings.logprobs != 0;
  wanted.topLogProbabilities = settings.logprobs ? settings.top_logprobs : 0;
  wanted.contextShift = settings.context_shift != 0;
  wanted.shiftKeep = settings.shift_keep;
  wanted.seed = settings.seed;
  wanted.maxTokens = settings.max_tokens;
  wanted.ignoreEnd = settings.ignore_end != 0;
  wanted.append = settings.append != 0;
  tern_generation *object = session->generation(settings.slot);
  status = object->generation.begin(wanted, prompt, prompt_size);
  if (status.isOk())
    *generation = object;
  return report(status, error);
}

tern_status tern_evaluate_together(tern_session *session, tern_generation *const *generations,
                                   size_t count, tern_error *error) {
  Status status = requireArgument(session, "session");
  if (status.isOk() && count)
    status = requireArgument(generations, "generations");
  for (size_t i = 0; status.isOk() && i < count; ++i) {
    status = requireArgument(generations[i], "a generation");
    if (status.isOk())
      status = session->batch.add(generations[i]->generation);
  }
  if (status.isOk())
    status = session->batch.evaluate();
  else if (session)
    session->batch.clear();
  return report(status, error);
}

tern_status tern_next(tern_generation *generation, tern_piece *piece, tern_error *error) {
  Status status = requireArgument(generation, "generation");
  if (status.isOk())
    status = requireArgument(piece, "piece");
  if (!status.isOk())
    return report(status, error);
  Piece produced;
  status = generation->generation.next(produced);
  if (!status.isOk())
    return report(status, error);
  tern_piece value = TERN_PIECE_INIT;
  value.token = produced.token;
  value.text = produced.text.data();
  value.text_size = produced.text.size();
  value.finish = tern_finish(produced.finish);
  if (const LogProbabilities *found = produced.logProbabilities) {
    for (uint32_t i = 0; i < found->topCount; ++i)
      generation->top[i] = {found->top[i].token, found->top[i].logProbability};
    value.logprob = found->chosen;
    value.top = generation->top;
    value.top_count = found->topCount;
  }
  return report(writeStruct(value, piece, "tern_piece"), error);
}

void tern_cancel(tern_generation *generation) {
  if (generation)
    generation->generation.cancel();
}
