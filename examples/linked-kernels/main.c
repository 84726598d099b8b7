/* Greedy continuation of token ids by a model whose kernels are linked into this program: no code
 * is loaded from the artifact. See docs/linking-kernels.md for how it is built.
 *
 *   linked-kernels model.tern 16 1 2 3        prints 16 ids that follow 1 2 3 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

static int fail(const tern_error *error) {
  fprintf(stderr, "linked-kernels: %s\n", error->message);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: linked-kernels MODEL.tern COUNT TOKEN...\n");
    return 2;
  }
  tern_error error = TERN_ERROR_INIT;
  tern_runtime *runtime = NULL;
  tern_model *model = NULL;
  tern_session *session = NULL;
  tern_generation *generation = NULL;

  tern_model_options options = TERN_MODEL_OPTIONS_INIT;
  options.linked_code = &model_code; /* the one line that differs from loading code */
  if (tern_runtime_create(NULL, &runtime, &error) != TERN_OK ||
      tern_model_load_file(runtime, argv[1], &options, &model, &error) != TERN_OK ||
      tern_session_create(model, NULL, &session, &error) != TERN_OK)
    return fail(&error);

  size_t count = (size_t)argc - 3;
  int32_t *prompt = malloc(count * sizeof(int32_t));
  for (size_t i = 0; i < count; ++i)
    prompt[i] = atoi(argv[3 + i]);
  tern_generate_options how = TERN_GENERATE_OPTIONS_INIT;
  how.max_tokens = (uint32_t)atoi(argv[2]);
  how.ignore_end = 1;
  tern_status status = tern_generate_begin(session, &how, prompt, count, &generation, &error);
  free(prompt);
  tern_piece piece = TERN_PIECE_INIT;
  while (status == TERN_OK && piece.finish == TERN_FINISH_NONE) {
    status = tern_next(generation, &piece, &error);
    if (status == TERN_OK && piece.token >= 0)
      printf("%d\n", (int)piece.token);
  }
  if (status != TERN_OK)
    return fail(&error);
  tern_session_destroy(&session);
  tern_model_destroy(&model);
  tern_runtime_destroy(&runtime);
  return 0;
}
