/* A program that answers a chat message with an artifact: the whole runtime, for its size. */
#include "tern/tern.h"

int main(int argc, char **argv) {
  tern_runtime *runtime = NULL;
  tern_model *model = NULL;
  tern_session *session = NULL;
  tern_generation *generation = NULL;
  tern_error error = TERN_ERROR_INIT;
  tern_piece piece = TERN_PIECE_INIT;
  int32_t prompt[256];
  size_t count = 0;
  const tern_chat_message message = {"user", argv[0]};
  tern_status status = tern_runtime_create(NULL, &runtime, &error);
  if (!status)
    status = tern_verify_file(runtime, argv[argc - 1], &error);
  if (!status)
    status = tern_model_load_file(runtime, argv[argc - 1], NULL, &model, &error);
  if (!status)
    status = tern_chat_tokenize(model, &message, 1, prompt, 256, &count, &error);
  if (!status)
    status = tern_session_create(model, NULL, &session, &error);
  if (!status)
    status = tern_generate_begin(session, NULL, prompt, count, &generation, &error);
  while (!status && piece.finish == TERN_FINISH_NONE)
    status = tern_next(generation, &piece, &error);
  tern_session_destroy(&session);
  tern_model_destroy(&model);
  tern_runtime_destroy(&runtime);
  return status;
}
