/* The C interface of the Tern runtime.
 *
 *   tern_runtime   settings shared by models: default thread count, allocator, log callback
 *   tern_model     one loaded artifact; immutable; any number of threads may use it at once
 *   tern_session   slots with their KV caches, an arena and worker threads; one thread at a time,
 *                  with 1 MiB of stack for the calls that compute (worker threads have their own)
 *   tern_generation  sampling state of one slot; belongs to its session
 *
 * Loading a .tern file runs the machine code inside it: load only files you trust.
 *
 * Conventions
 *   - Functions that can fail return tern_status and fill *error if it is not NULL. On failure
 *     outputs are left untouched, except that created handles are set to NULL.
 *   - Structs that may grow begin with struct_size; set them up with the TERN_..._INIT macros,
 * which also hold the defaults. Info structs that the library fills are set up the same way.
 *   - A handle is destroyed through a pointer to it, which becomes NULL; destroying NULL does
 * nothing. A model keeps its runtime alive and a session its model: handles may be destroyed in any
 * order.
 *   - After tern_session_create no function on the session, nor tern_detokenize, allocates memory.
 *   - Strings are UTF-8. The library has no global state and never calls abort or exit on input.
 */
#ifndef TERN_TERN_H
#define TERN_TERN_H

#include <stddef.h>
#include <stdint.h>

#if defined(TERN_SHARED)
#define TERN_API __attribute__((visibility("default")))
#else
#define TERN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status ---------------------------------------------------------------------------------- */

typedef enum tern_status {
  TERN_OK = 0,
  TERN_INVALID_ARGUMENT = 1, /* the call breaks this header's contract */
  TERN_INVALID_ARTIFACT = 2, /* damaged, hostile or not an artifact */
  TERN_UNSUPPORTED = 3,      /* well formed, but not implemented by this runtime */
  TERN_WRONG_CPU = 4,        /* no variant in the artifact runs on this CPU */
  TERN_OUT_OF_MEMORY = 5,
  TERN_IO_ERROR = 6,
  TERN_OUT_OF_RANGE = 7, /* token, position, slot or count beyond a limit */
  TERN_CANCELLED = 8,
  TERN_NOT_FOUND = 9,        /* the artifact has no such part */
  TERN_BUFFER_TOO_SMALL = 10 /* the needed size was stored */
} tern_status;

/* What went wrong, in the caller's storage. Set up with TERN_ERROR_INIT. */
typedef struct tern_error {
  size_t struct_size;
  tern_status status;
  char message[256]; /* one line: what was found, what was expected, what to do */
} tern_error;
#define TERN_ERROR_INIT {sizeof(tern_error), TERN_OK, {0}}

/* Static strings. */
TERN_API const char *tern_version(void);
TERN_API const char *tern_status_name(tern_status status);

/* ---- Runtime --------------------------------------------------------------------------------- */

typedef struct tern_runtime tern_runtime;

typedef enum tern_log_level { TERN_LOG_INFO = 0, TERN_LOG_WARNING = 1 } tern_log_level;

typedef struct tern_runtime_options {
  size_t struct_size;
  /* Default of tern_session_options.threads; 0: the CPUs this process may run on. */
  uint32_t threads;
  /* Memory for everything but file mappings, code, and the work memory of tern_tokenize. NULL:
   * anonymous mappings and malloc. Both must be thread-safe; allocate returns `size` bytes aligned
   * to `alignment`, or NULL. */
  void *(*allocate)(void *context, size_t size, size_t alignment);
  void (*deallocate)(void *context, void *memory, size_t size);
  void *allocator_context;
  /* One line without newline, from the thread that made the call. NULL: silent. */
  void (*log)(void *context, tern_log_level level, const char *message);
  void *log_context;
} tern_runtime_options;
#define TERN_RUNTIME_OPTIONS_INIT {sizeof(tern_runtime_options), 0, NULL, NULL, NULL, NULL, NULL}

/* options may be NULL. */
TERN_API tern_status tern_runtime_create(const tern_runtime_options *options,
                                         tern_runtime **runtime, tern_error *error);
TERN_API void tern_runtime_destroy(tern_runtime **runtime);

/* ---- Model ----------------------------------------------------------------------------------- */

typedef struct tern_model tern_model;

typedef enum tern_weights_mode {
  TERN_WEIGHTS_AUTO = 0,
  TERN_WEIGHTS_MAP = 1,  /* used in place from the file mapping or the caller's memory */
  TERN_WEIGHTS_COPY = 2, /* read into private memory backed by 2 MB pages where possible */
  /* Each session has at most stream_bytes of them in memory: what does not fit is read and compared
   * with its digest in every call, by a thread of the session, while other weights are used. The
   * rows of an embedding, and experts, are used where the file is mapped, as with MAP, or count as
   * always needed where it is not. TERN_OUT_OF_MEMORY says the least that would do. A call that
   * cannot read its weights fails with TERN_IO_ERROR, or TERN_INVALID_ARTIFACT for damage, and
   * truncates its slots to where its rows began. */
  TERN_WEIGHTS_STREAM = 3
} tern_weights_mode;

/* Kernels that are part of the application, for systems that forbid loading code: `ternc
 * --emit=static-library` writes a library with them and a header with this struct filled in. */
struct TernArgs;
typedef void (*tern_kernel_function)(const struct TernArgs *arguments, int32_t first, int32_t last);
typedef struct tern_linked_code {
  size_t struct_size;
  const char *target;      /* the variant they are the kernels of, e.g. "x86_64-avx2" */
  uint8_t code_digest[32]; /* of that variant's image in the artifact they were compiled with */
  const tern_kernel_function *kernels; /* in the artifact's order; live as long as the model */
  size_t kernel_count;
} tern_linked_code;

typedef struct tern_model_options {
  size_t struct_size;
  tern_weights_mode weights;
  uint64_t stream_bytes; /* of TERN_WEIGHTS_STREAM; 0 with other modes */
  /* Use this variant (e.g. "x86_64-avx2") instead of the first that the CPU supports. */
  const char *target;
  /* Run these kernels; the code in the artifact is checked, but not loaded. NULL: load it. An
   * artifact of another compilation is TERN_INVALID_ARGUMENT: its code has another digest. */
  const tern_linked_code *linked_code;
} tern_model_options;
#define TERN_MODEL_OPTIONS_INIT {sizeof(tern_model_options), TERN_WEIGHTS_AUTO, 0, NULL, NULL}

/* Load an artifact: verify the structure, table and code digests, pick a variant, map code and
 * weights. options may be NULL. The file or memory must not change while the model lives. load_file
 * opens and closes the path itself. load_memory   data stays the caller's and must outlive the
 * model; it is used in place where it is aligned to 64 bytes, else (AUTO) copied. load_fd `length`
 * bytes at `offset` of an open file; the descriptor may be closed afterwards. load_callback
 * read(context, offset, size, destination) stores exactly `size` bytes and returns 0; called only
 * during the load, and weights are copied; with TERN_WEIGHTS_STREAM while the model lives, in
 * tern_session_create and by a thread of each session, also at the same time. */
/* Errors begin with the last 80 bytes of the path. */
TERN_API tern_status tern_model_load_file(tern_runtime *runtime, const char *path,
                                          const tern_model_options *options, tern_model **model,
                                          tern_error *error);
TERN_API tern_status tern_model_load_memory(tern_runtime *runtime, const void *data, size_t size,
                                            const tern_model_options *options, tern_model **model,
                                            tern_error *error);
TERN_API tern_status tern_model_load_fd(tern_runtime *runtime, int fd, uint64_t offset,
                                        uint64_t length, const tern_model_options *options,
                                        tern_model **model, tern_error *error);
typedef int (*tern_read_callback)(void *context, uint64_t offset, size_t size, void *destination);
TERN_API tern_status tern_model_load_callback(tern_runtime *runtime, tern_read_callback read,
                                              void *context, uint64_t length,
                                              const tern_model_options *options, tern_model **model,
                                              tern_error *error);
TERN_API void tern_model_destroy(tern_model **model);

/* Checks what loading checks, every variant's code, and the digest of every weight unit, without
 * mapping anything executable. */
TERN_API tern_status tern_verify_file(tern_runtime *runtime, const char *path, tern_error *error);
/* The same for `length` bytes at `offset` of an open file, which stays the caller's. */
TERN_API tern_status tern_verify_fd(tern_runtime *runtime, int fd, uint64_t offset, uint64_t length,
                                    tern_error *error);

typedef struct tern_model_info {
  size_t struct_size;
  uint32_t vocabulary_size;
  uint32_t context_length; /* the model's own */
  uint32_t max_batch;      /* most rows in one tern_forward */
  uint32_t max_wanted;     /* most rows that may want logits in one tern_forward */
  uint32_t variant_count;
  uint32_t kernel_count; /* of the chosen variant */
  uint32_t has_tokenizer;
  uint32_t has_chat_template;
  const char *target; /* chosen variant; lives as long as the model */
  uint64_t file_bytes;
  uint64_t code_bytes;
  uint64_t weight_bytes;           /* all units */
  uint64_t mapped_weight_bytes;    /* of these, used in place rather than copied */
  uint64_t weight_bytes_per_token; /* read for one decoded token */
  uint64_t arena_bytes;
  uint64_t arena_lower_bound;
  uint64_t kv_bytes_per_token;
  uint64_t hidden_size; /* 0: the artifact gives no hidden states */
} tern_model_info;
#define TERN_MODEL_INFO_INIT                                                                       \
  {sizeof(tern_model_info), 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0}
TERN_API tern_status tern_model_get_info(const tern_model *model, tern_model_info *info,
                                         tern_error *error);

/* Metadata value by key, or NULL; and by index (NULL, NULL past the end). Live as long as the
 * model. */
TERN_API const char *tern_model_metadata(const tern_model *model, const char *key);
TERN_API void tern_model_metadata_at(const tern_model *model, size_t index, const char **key,
                                     const char **value);

/* ---- Text ------------------------------------------------------------------------------------
 * All fail with TERN_NOT_FOUND if the artifact has no tokenizer (or no known chat template). Where
 * the result does not fit, *count or *size receives the needed number and TERN_BUFFER_TOO_SMALL
 * returns. */

enum {
  TERN_TOKENIZE_NO_BOS = 1,          /* leave out the model's begin / end tokens */
  TERN_TOKENIZE_NO_PARSE_SPECIAL = 2 /* text such as "<|im_end|>" is plain text */
};
TERN_API tern_status tern_tokenize(const tern_model *model, const char *text, size_t text_size,
                                   uint32_t flags, int32_t *tokens, size_t capacity, size_t *count,
                                   tern_error *error);

/* Not zero-terminated. Invalid byte sequences come out as they are. */
TERN_API tern_status tern_detokenize(const tern_model *model, const int32_t *tokens, size_t count,
                                     char *text, size_t capacity, size_t *size, tern_error *error);

typedef struct tern_chat_message {
  const char *role; /* "system", "user" or "assistant" */
  const char *content;
} tern_chat_message;
/* Tokens of a conversation followed by the opening of the assistant's next turn. Special tokens are
 * recognised in the template's own text only, never in a message's content. */
TERN_API tern_status tern_chat_tokenize(const tern_model *model, const tern_chat_message *messages,
                                        size_t message_count, int32_t *tokens, size_t capacity,
                                        size_t *count, tern_error *error);

/* 1 if the token ends a generation, 0 if not or without a tokenizer. */
TERN_API int tern_token_is_end(const tern_model *model, int32_t token);

/* ---- Session --------------------------------------------------------------------------------- */

typedef struct tern_session tern_session;

typedef struct tern_session_options {
  size_t struct_size;
  uint32_t slots;   /* independent sequences; at least 1 */
  uint32_t context; /* positions per slot; 0: the smaller of the model's length and 4096 */
  uint32_t threads; /* 0: the runtime's default; 1: no worker threads */
  uint64_t flags;   /* TERN_SESSION_... */
} tern_session_options;
#define TERN_SESSION_OPTIONS_INIT {sizeof(tern_session_options), 1, 0, 0, 0}

enum {
  /* Every thread that computes is pinned to a CPU of its own: worker threads from their start on,
   * the calling thread during each forward call, behind which it may run where it could before. The
   * CPUs are chosen when the session is created, among those that the creating thread may run on:
   * one of each core, then further ones of the same cores, lower numbers first. Sessions that run
   * at the same time should therefore be created under different affinity masks. Creating fails
   * with TERN_INVALID_ARGUMENT where there are more threads than CPUs, and with TERN_UNSUPPORTED on
   * systems other than Linux. A forward call fails with TERN_INVALID_ARGUMENT if its thread can no
   * longer be pinned, with the effect of cancelling. */
  TERN_SESSION_PIN_THREADS = 1
};

/* Bytes a session with these options takes beside the mapped weights: all that it asks the
 * allocator for, and the image of the code. The stacks of worker threads are not in it. */
typedef struct tern_memory_estimate {
  size_t struct_size;
  uint64_t kv_bytes;
  uint64_t arena_bytes;
  uint64_t scratch_bytes;  /* of all workers, and what blocks of a long context leave for merging */
  uint64_t sampling_bytes; /* sampling, and the generations of all slots */
  uint64_t other_bytes;    /* logits, pointer tables, code, history */
  uint64_t total_bytes;
  uint64_t weight_bytes; /* with TERN_WEIGHTS_STREAM; 0 with other modes */
} tern_memory_estimate;
#define TERN_MEMORY_ESTIMATE_INIT {sizeof(tern_memory_estimate), 0, 0, 0, 0, 0, 0, 0}
TERN_API tern_status tern_session_estimate(const tern_model *model,
                                           const tern_session_options *options,
                                           tern_memory_estimate *estimate, tern_error *error);

/* options may be NULL. */
TERN_API tern_status tern_session_create(tern_model *model, const tern_session_options *options,
                                         tern_session **session, tern_error *error);
TERN_API void tern_session_destroy(tern_session **session);

/* Rows of one call. Rows of one slot have consecutive positions, the first at most the slot's
 * length; a lower first position truncates the slot there. Anything else is an error found before
 * anything is written. Arrays are the caller's and only read during the call. */
typedef struct tern_batch {
  size_t struct_size;
  size_t rows;              /* 1 .. max_batch */
  const int32_t *tokens;    /* [rows] */
  const int32_t *positions; /* [rows]; NULL: follow the slot's length */
  const int32_t *slots;     /* [rows]; NULL: slot 0 */
  const uint8_t *want;      /* [rows], non-zero: logits; NULL: the last row only */
} tern_batch;
#define TERN_BATCH_INIT {sizeof(tern_batch), 0, NULL, NULL, NULL, NULL}

/* Row r of the result is logits[r * stride] .. [r * stride + vocabulary_size - 1], for the wanted
 * rows in the order of the batch. Valid until the session's next call. */
typedef struct tern_logits {
  size_t struct_size;
  const float *logits;
  size_t rows;
  size_t stride;
} tern_logits;
#define TERN_LOGITS_INIT {sizeof(tern_logits), NULL, 0, 0}

/* Blocks until done. result may be NULL. */
TERN_API tern_status tern_forward(tern_session *session, const tern_batch *batch,
                                  tern_logits *result, tern_error *error);

/* Hidden states of the wanted rows in the place of logits, which are not computed: what the final
 * norm gives, tern_model_info.hidden_size numbers a row. Everything else is as in tern_forward.
 * TERN_UNSUPPORTED if the artifact gives none. */
typedef struct tern_hidden {
  size_t struct_size;
  const float *states;
  size_t rows;
  size_t stride;
} tern_hidden;
#define TERN_HIDDEN_INIT {sizeof(tern_hidden), NULL, 0, 0}
TERN_API tern_status tern_forward_hidden(tern_session *session, const tern_batch *batch,
                                         tern_hidden *result, tern_error *error);

/* Number of positions a slot holds; 0 for a slot that does not exist. */
TERN_API uint32_t tern_slot_length(const tern_session *session, uint32_t slot);
/* Forgets positions >= length. Layers with a window (tern inspect shows them) drop positions far
 * behind it: in a model that has such layers, going back by more than 64 from the furthest position
 * that the slot has held since it was empty may fail with TERN_OUT_OF_RANGE, here and in
 * tern_forward. Going back to 0 never does. */
TERN_API tern_status tern_slot_truncate(tern_session *session, uint32_t slot, uint32_t length,
                                        tern_error *error);
/* Replaces the contents of `destination` by those of `source`. */
TERN_API tern_status tern_slot_copy(tern_session *session, uint32_t source, uint32_t destination,
                                    tern_error *error);

/* The tokens a slot holds, tern_slot_length of them; NULL for a slot that does not exist. Valid
 * until the session's next call. */
TERN_API const int32_t *tern_slot_tokens(const tern_session *session, uint32_t slot);

/* A slot as bytes: its tokens and KV cache. They fit only the artifact and the target they came
 * from, in a session of any size that has room. The callbacks take or store exactly `size` bytes
 * and return 0. A slot under which a saved one is loaded needs a new tern_generate_begin.
 *
 * A load that fails leaves the slot as it was with
 *   TERN_INVALID_ARGUMENT  no saved slot; of another artifact, or of another target of it;
 *                          load_memory: `size` is not that of the saved slot
 *   TERN_UNSUPPORTED       saved by another version of this format
 *   TERN_OUT_OF_RANGE      no such slot; more positions than the session's context
 *   TERN_IO_ERROR          the callback failed while the header was read
 * and empty with
 *   TERN_IO_ERROR          the callback failed later
 *   TERN_INVALID_ARGUMENT  damaged: the digest at the end does not match
 * tern_slot_load reads the saved slot and nothing behind it. A save fails with TERN_OUT_OF_RANGE
 * for a slot that does not exist, and with TERN_IO_ERROR if the callback does. */
typedef int (*tern_save_callback)(void *context, const void *data, size_t size);
typedef int (*tern_restore_callback)(void *context, void *data, size_t size);
TERN_API tern_status tern_slot_save(tern_session *session, uint32_t slot, tern_save_callback save,
                                    void *context, tern_error *error);
TERN_API tern_status tern_slot_load(tern_session *session, uint32_t slot,
                                    tern_restore_callback restore, void *context,
                                    tern_error *error);
/* The same to and from memory: all of `size` bytes are the saved slot. Saving, *size receives the
 * needed number of bytes, also with TERN_BUFFER_TOO_SMALL. */
TERN_API tern_status tern_slot_save_memory(tern_session *session, uint32_t slot, void *data,
                                           size_t capacity, size_t *size, tern_error *error);
TERN_API tern_status tern_slot_load_memory(tern_session *session, uint32_t slot, const void *data,
                                           size_t size, tern_error *error);

/* ---- Generation ------------------------------------------------------------------------------ */

typedef struct tern_generation tern_generation;

/* Added to a token's logit; -INFINITY excludes the token. */
typedef struct tern_logit_bias {
  int32_t token;
  float bias; /* -1e6 .. 1e6 or -INFINITY; several biases of a token add up */
} tern_logit_bias;

/* The model's own probability of a token: softmax of the logits, before biases, penalties and
 * temperature. */
typedef struct tern_token_logprob {
  int32_t token;
  float logprob; /* natural logarithm */
} tern_token_logprob;

/* Limits of one generation. */
enum {
  TERN_MAX_LOGIT_BIASES = 512,
  TERN_MAX_STOP_STRINGS = 16,
  TERN_MAX_STOP_STRING_BYTES = 256, /* of one, without the zero at its end */
  TERN_MAX_TOP_LOGPROBS = 20
};

/* How a token is chosen, from the model's logits x, in this order:
 *   1. logit biases          x += bias
 *   2. penalties, for every token that occurs c > 0 times among the newest penalty_window tokens of
 *      prompt and continuation that the slot holds
 *        repetition          x = x > 0 ? x / r : x * r                 (Keskar et al. 2019, CTRL)
 *        frequency, presence x -= c * frequency + presence             (the OpenAI API's
 * definition)
 *   3. temperature           probabilities are softmax(x / temperature); 0: the largest x, the
 *                            lowest token among equals, and nothing below matters
 *   4. top-k                 the k most likely tokens                  (Fan et al. 2018)
 *   5. top-p                 of these the smallest set of most likely tokens whose share of their
 *                            probability reaches top_p                 (Holtzman et al. 2019)
 *   6. min-p                 of these the tokens at least min_p times as likely as the most likely
 *                            one                                       (Nguyen et al. 2024)
 *   7. a draw from what is left, by PCG32
 * A logit that is NaN or -infinity is never chosen. Where no other is left, tern_next fails:
 * TERN_INVALID_ARTIFACT if the model gave no other, TERN_INVALID_ARGUMENT if biases excluded them.
 * The same logits, options and history give the same token on every platform. */
typedef struct tern_generate_options {
  size_t struct_size;
  uint32_t slot;
  uint32_t max_tokens; /* 0: until an end token or the slot is full */
  float temperature;   /* 0 to 100; 0: greedy */
  float top_p;         /* 1: off */
  uint32_t top_k;      /* 0: off */
  float min_p;         /* 0: off */
  uint64_t seed;
  uint32_t ignore_end; /* non-zero: end tokens do not stop */
  /* Non-zero: the prompt continues the slot. Zero: the prompt is the whole history, of which the
   * part that the slot already holds is not recomputed. */
  uint32_t append;
  float repetition_penalty;            /* 1e-6 .. 100; 1: off */
  float frequency_penalty;             /* -100 .. 100; 0: off */
  float presence_penalty;              /* -100 .. 100; 0: off */
  uint32_t penalty_window;             /* tokens; UINT32_MAX: the whole history */
  const tern_logit_bias *logit_biases; /* copied; NULL if there are none */
  size_t logit_bias_count;             /* at most TERN_MAX_LOGIT_BIASES */
  /* Texts that end the generation where they appear, also across tokens; of a stop string nothing
   * is ever put out. Copied. Control tokens have no text and match nothing. */
  const char *const *stop_strings;
  size_t stop_string_count; /* at most TERN_MAX_STOP_STRINGS */
  uint32_t logprobs;        /* non-zero: pieces have log-probabilities */
  uint32_t top_logprobs;    /* with logprobs: most likely tokens in each piece */
  /* Non-zero: when the slot is full, the older half of its tokens behind the first shift_keep is
   * forgotten and the rest evaluated again at its new positions, instead of FINISH_SLOT_FULL.
   * Forgotten tokens are no longer penalized: penalty_window looks at what the slot holds, where
   * the kept tokens then stand directly before the rest. */
  uint32_t context_shift;
  uint32_t shift_keep; /* below the session's context */
} tern_generate_options;
#define TERN_GENERATE_OPTIONS_INIT                                                                 \
  {sizeof(tern_generate_options),                                                                  \
   0,                                                                                              \
   0,                                                                                              \
   0.0f,                                                                                           \
   1.0f,                                                                                           \
   0,                                                                                              \
   0.0f,                                                                                           \
   0,                                                                                              \
   0,                                                                                              \
   0,                                                                                              \
   1.0f,                                                                                           \
   0.0f,                                                                                           \
   0.0f,                                                                                           \
   64,                                                                                             \
   NULL,                                                                                           \
   0,                                                                                              \
   NULL,                                                                                           \
   0,                                                                                              \
   0,                                                                                              \
   0,                                                                                              \
   0,                                                                                              \
   0}

typedef enum tern_finish {
  TERN_FINISH_NONE = 0,      /* a token was produced; call again */
  TERN_FINISH_END_TOKEN = 1, /* `token` is the end token; it has no text */
  TERN_FINISH_MAX_TOKENS = 2,
  TERN_FINISH_SLOT_FULL = 3,
  TERN_FINISH_CANCELLED = 4,
  TERN_FINISH_STOP_STRING = 5 /* `token` completed it; `text` is what came before */
} tern_finish;

typedef struct tern_piece {
  size_t struct_size;
  int32_t token;    /* -1 where a finish brings no token */
  const char *text; /* whole UTF-8 characters, not zero-terminated, maybe empty; valid until the
                       session's next call */
  size_t text_size;
  tern_finish finish; /* not NONE: the generation is over and further calls repeat the finish */
  float logprob;      /* of `token`, if asked for */
  const tern_token_logprob *top; /* [top_count] most likely tokens, falling; valid as `text` is */
  size_t top_count;
} tern_piece;
#define TERN_PIECE_INIT {sizeof(tern_piece), -1, NULL, 0, TERN_FINISH_NONE, 0.0f, NULL, 0}

/* Starts generating in a slot, replacing a generation under way there. The prompt (at least one
 * token) is copied. The handle belongs to the session; it stays valid until the session is
 * destroyed or the slot begins another generation.
 *
 * Until its finish has been given out the generation owns the slot: if a tern_forward, truncate,
 * copy or load changes it in between, also one that fails, the next tern_next is
 * TERN_INVALID_ARGUMENT and the generation is over. Reading, saving and copying from the slot
 * change nothing. */
TERN_API tern_status tern_generate_begin(tern_session *session,
                                         const tern_generate_options *options,
                                         const int32_t *prompt, size_t prompt_size,
                                         tern_generation **generation, tern_error *error);

/* Produces the next token; the first call also evaluates the prompt. With FINISH_MAX_TOKENS and
 * FINISH_SLOT_FULL the piece carries the text still held back, and no token. The last token
 * produced is part of the slot only once the next one is asked for. */
TERN_API tern_status tern_next(tern_generation *generation, tern_piece *piece, tern_error *error);

/* Evaluates what the next tern_next of each of these generations of the session needs, in as few
 * forward calls as possible; those tern_next then only give out their tokens. Texts and tokens are
 * the same with and without: a row's result does not depend on the others. Generations that are
 * over are left alone, and one whose slot was changed is left to its tern_next, which says so.
 * tern_cancel takes effect when the call is over. */
TERN_API tern_status tern_evaluate_together(tern_session *session,
                                            tern_generation *const *generations, size_t count,
                                            tern_error *error);

/* From any thread, at any time while the session lives: the tern_next that runs or the next one
 * returns TERN_FINISH_CANCELLED. The slot keeps what was complete. */
TERN_API void tern_cancel(tern_generation *generation);

#ifdef __cplusplus
}
#endif
#endif
