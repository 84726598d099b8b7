/* A program that loads an artifact and evaluates tokens: the runtime's core, for its size. */
#include "tern/tern.h"

int main(int argc, char **argv) {
  tern_runtime *runtime = NULL;
  tern_model *model = NULL;
  tern_session *session = NULL;
  tern_error error = TERN_ERROR_INIT;
  tern_batch batch = TERN_BATCH_INIT;
  const int32_t token = argc;
  batch.rows = 1;
  batch.tokens = &token;
  tern_status status = tern_runtime_create(NULL, &runtime, &error);
  if (!status)
    status = tern_model_load_file(runtime, argv[argc - 1], NULL, &model, &error);
  if (!status)
    status = tern_session_create(model, NULL, &session, &error);
  if (!status)
    status = tern_forward(session, &batch, NULL, &error);
  tern_session_destroy(&session);
  tern_model_destroy(&model);
  tern_runtime_destroy(&runtime);
  return status;
}
