// forward_probe MODEL.tern THREADS SLOTS CONTEXT < CALLS > LOGITS
//
// Makes the calls that standard input describes, for tests that choose batches themselves. A line
// is
//
//   SLOT:POSITION:TOKEN ...      a forward call; TOKEN! wants the row's logits
//   copy SLOT SLOT               from the first to the second
//   truncate SLOT LENGTH
//   save SLOT FILE, load SLOT FILE
//
// Writes the wanted rows' logits as raw float32. A call that fails ends the program with status 1,
// after the logits of the calls before, and the runtime's message on stderr.
#include "tern/tern.h"

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

struct Call {
  std::vector<int32_t> slots, positions, tokens;
  std::vector<uint8_t> want;
};

bool parseCall(const std::string &line, Call &call) {
  std::istringstream rows(line);
  std::string row;
  while (rows >> row) {
    int slot = 0, position = 0, token = 0;
    char mark = 0;
    const int fields = std::sscanf(row.c_str(), "%d:%d:%d%c", &slot, &position, &token, &mark);
    if (fields < 3 || (fields == 4 && mark != '!'))
      return false;
    call.slots.push_back(slot);
    call.positions.push_back(position);
    call.tokens.push_back(token);
    call.want.push_back(fields == 4);
  }
  return true;
}

int fail(const tern_error &error) {
  std::fprintf(stderr, "forward_probe: %s: %s\n", tern_status_name(error.status), error.message);
  return 1;
}

int writeFile(void *file, const void *data, size_t size) {
  return std::fwrite(data, 1, size, static_cast<FILE *>(file)) == size ? 0 : 1;
}

int readFile(void *file, void *data, size_t size) {
  return std::fread(data, 1, size, static_cast<FILE *>(file)) == size ? 0 : 1;
}

/// A line that begins with a word. Returns whether it is one that is known.
bool runCommand(tern_session *session, const std::string &line, tern_error &error) {
  std::istringstream words(line);
  std::string command, path;
  uint32_t slot = 0, number = 0;
  words >> command >> slot;
  if (command == "copy" && words >> number) {
    (void)tern_slot_copy(session, slot, number, &error);
  } else if (command == "truncate" && words >> number) {
    (void)tern_slot_truncate(session, slot, number, &error);
  } else if ((command == "save" || command == "load") && words >> path) {
    FILE *file = std::fopen(path.c_str(), command == "save" ? "wb" : "rb");
    if (!file)
      return false;
    if (command == "save")
      (void)tern_slot_save(session, slot, writeFile, file, &error);
    else
      (void)tern_slot_load(session, slot, readFile, file, &error);
    std::fclose(file);
  } else {
    return false;
  }
  return true;
}

int runCalls(tern_session *session, uint32_t vocabulary, tern_error &error) {
  std::string line;
  while (std::getline(std::cin, line)) {
    Call call;
    if (!line.empty() && std::isalpha(static_cast<unsigned char>(line[0]))) {
      error = TERN_ERROR_INIT;
      if (!runCommand(session, line, error)) {
        std::fprintf(stderr, "forward_probe: not a command: %s\n", line.c_str());
        return 2;
      }
      if (error.status != TERN_OK)
        return fail(error);
      continue;
    }
    if (!parseCall(line, call)) {
      std::fprintf(stderr, "forward_probe: not a call: %s\n", line.c_str());
      return 2;
    }
    tern_batch batch = TERN_BATCH_INIT;
    batch.rows = call.tokens.size();
    batch.tokens = call.tokens.data();
    batch.positions = call.positions.data();
    batch.slots = call.slots.data();
    batch.want = call.want.data();
    tern_logits logits = TERN_LOGITS_INIT;
    if (tern_forward(session, &batch, &logits, &error) != TERN_OK)
      return fail(error);
    for (size_t row = 0; row < logits.rows; ++row)
      std::fwrite(logits.logits + row * logits.stride, sizeof(float), vocabulary, stdout);
  }
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: forward_probe MODEL.tern THREADS SLOTS CONTEXT < CALLS\n");
    return 2;
  }
  tern_error error = TERN_ERROR_INIT;
  tern_runtime *runtime = nullptr;
  tern_model *model = nullptr;
  tern_session *session = nullptr;
  tern_model_info info = TERN_MODEL_INFO_INIT;
  tern_session_options options = TERN_SESSION_OPTIONS_INIT;
  options.threads = uint32_t(std::atoi(argv[2]));
  options.slots = uint32_t(std::atoi(argv[3]));
  options.context = uint32_t(std::atoi(argv[4]));
  if (tern_runtime_create(nullptr, &runtime, &error) != TERN_OK ||
      tern_model_load_file(runtime, argv[1], nullptr, &model, &error) != TERN_OK ||
      tern_model_get_info(model, &info, &error) != TERN_OK ||
      tern_session_create(model, &options, &session, &error) != TERN_OK)
    return fail(error);
  const int status = runCalls(session, info.vocabulary_size, error);
  tern_session_destroy(&session);
  tern_model_destroy(&model);
  tern_runtime_destroy(&runtime);
  return status;
}
