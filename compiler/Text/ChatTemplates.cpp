// Probing of chat templates.
#include "compiler/Text/ChatTemplates.h"

#include "compiler/Text/JinjaEvaluator.h"
#include "runtime/text/ChatTemplate.h"

#include "llvm/ADT/STLExtras.h"

#include <optional>
#include <string>
#include <vector>

using namespace tern;
using fb::SystemPlacement;
using jinja::RenderResult;
using jinja::Value;
using text::ChatRole;

namespace {

/// Longest template that is looked at; the longest known have 20 kB.
constexpr size_t maxSourceBytes = 256 * 1024;

struct Message {
  ChatRole role;
  std::string content;
};
using Conversation = std::vector<Message>;

// Marks whose place in the rendered text shows what surrounds a message.
const std::string systemMark = "\x02s\x03", userMark = "\x02u\x03",
                  answerMark = "\x02"
                               "a\x03",
                  secondUserMark = "\x02v\x03";

/// The fields of fb::ChatTemplate.
struct ChatParts {
  std::string begin, systemPrefix, systemSuffix, userPrefix, userSuffix, assistantPrefix,
      assistantSuffix, generationPrompt, end;
  std::optional<std::string> defaultSystem;
  SystemPlacement placement = SystemPlacement::unsupported;
  bool trimSystem = false, trimUser = false, trimAssistant = false, trimUserAlone = false;

  flatbuffers::Offset<fb::ChatTemplate> serialize(llvm::StringRef family,
                                                  flatbuffers::FlatBufferBuilder &builder) const;
};

class Prober {
public:
  Prober(llvm::ArrayRef<jinja::Statement> statements, llvm::StringRef bosToken,
         llvm::StringRef eosToken)
      : statements(statements), bosToken(bosToken), eosToken(eosToken) {}

  /// The parts that reproduce the template, or nothing and `reason`.
  std::optional<ChatParts> probe();
  std::string reason;

private:
  RenderResult render(const Conversation &conversation, bool askForReply) const;
  using Pieces = std::vector<std::string>;
  std::optional<Pieces> cut(const Conversation &conversation, bool askForReply) const;

  std::vector<ChatParts> findTurns();
  std::vector<ChatParts> placeSystem(const ChatParts &turns) const;
  bool isTrimmed(ChatRole role) const;
  bool reproduces(const ChatParts &parts) const;
  bool fail(llvm::StringRef what) {
    if (reason.empty())
      reason = what.str();
    return false;
  }

  llvm::ArrayRef<jinja::Statement> statements;
  std::string bosToken, eosToken;
  std::string firstTurnHead; ///< text before the first user message
};

} // namespace

static const char *nameOf(ChatRole role) {
  return role == ChatRole::system ? "system" : role == ChatRole::user ? "user" : "assistant";
}

static bool dropPrefix(std::string &text, llvm::StringRef prefix) {
  bool has = llvm::StringRef(text).starts_with(prefix);
  if (has)
    text.erase(0, prefix.size());
  return has;
}

static bool dropSuffix(std::string &text, llvm::StringRef suffix) {
  bool has = llvm::StringRef(text).ends_with(suffix);
  if (has)
    text.resize(text.size() - suffix.size());
  return has;
}

flatbuffers::Offset<fb::ChatTemplate>
ChatParts::serialize(llvm::StringRef family, flatbuffers::FlatBufferBuilder &builder) const {
  auto string = [&](const std::string &text) { return builder.CreateString(text); };
  flatbuffers::Offset<flatbuffers::String> system;
  if (defaultSystem)
    system = string(*defaultSystem);
  auto familyName = string(family.str());
  auto beginText = string(begin), systemBefore = string(systemPrefix),
       systemAfter = string(systemSuffix), userBefore = string(userPrefix),
       userAfter = string(userSuffix), assistantBefore = string(assistantPrefix),
       assistantAfter = string(assistantSuffix), generation = string(generationPrompt),
       endText = string(end);
  return fb::CreateChatTemplate(builder, familyName, 0, beginText, systemBefore, systemAfter,
                                userBefore, userAfter, assistantBefore, assistantAfter, generation,
                                system, placement, trimSystem, trimUser, trimAssistant, endText,
                                trimUserAlone);
}

RenderResult Prober::render(const Conversation &conversation, bool askForReply) const {
  Value::List messages;
  for (const Message &message : conversation)
    messages.push_back(
        Value::Dictionary{{"role", nameOf(message.role)}, {"content", message.content}});
  Value variables(Value::Dictionary{{"messages", messages},
                                    {"add_generation_prompt", askForReply},
                                    {"bos_token", bosToken},
                                    {"eos_token", eosToken},
                                    {"tools", Value::None()},
                                    {"documents", Value::None()}});
  return jinja::render(statements, variables);
}

/// The text between the messages' contents, which must all occur once and in order.
std::optional<Prober::Pieces> Prober::cut(const Conversation &conversation,
                                          bool askForReply) const {
  RenderResult result = render(conversation, askForReply);
  if (result.outcome != RenderResult::Outcome::rendered)
    return std::nullopt;
  Pieces pieces;
  llvm::StringRef rest = result.text;
  for (const Message &message : conversation) {
    if (rest.count(message.content) != 1)
      return std::nullopt;
    auto [before, after] = rest.split(message.content);
    pieces.push_back(before.str());
    rest = after;
  }
  pieces.push_back(rest.str());
  return pieces;
}

/// Everything but the system message, the likeliest first.
std::vector<ChatParts> Prober::findTurns() {
  auto none = [&](llvm::StringRef what) {
    fail(what);
    return std::vector<ChatParts>();
  };
  const Message user{ChatRole::user, userMark}, answer{ChatRole::assistant, answerMark},
      secondUser{ChatRole::user, secondUserMark};
  RenderResult simplest = render({user}, true);
  if (simplest.outcome != RenderResult::Outcome::rendered)
    return none("it fails on a single user message: " + simplest.text);
  std::optional<Pieces> asked = cut({user}, true), bare = cut({user}, false),
                        longer = cut({user, answer, secondUser}, true),
                        answered = cut({user, answer}, false);
  if (!asked || !bare || !longer)
    return none("it does not render each message once and in order");

  ChatParts parts;
  firstTurnHead = (*asked)[0];
  parts.userSuffix = (*bare)[1];
  parts.generationPrompt = (*asked)[1];
  parts.assistantPrefix = (*longer)[1];
  // A template may end what asks for no reply with a text of its own, usually the EOS token.
  if (!llvm::StringRef(parts.generationPrompt).starts_with(parts.userSuffix) &&
      dropSuffix(parts.userSuffix, eosToken))
    parts.end = eosToken;
  if (!dropPrefix(parts.generationPrompt, parts.userSuffix) ||
      !dropPrefix(parts.assistantPrefix, parts.userSuffix))
    return none("the text after a user message depends on what follows");
  parts.trimUser = isTrimmed(ChatRole::user);
  parts.trimAssistant = isTrimmed(ChatRole::assistant);

  // What separates an answer from the next user message belongs to either. A final answer shows
  // where to cut, unless the template treats it specially; then the head of the first turn does.
  const std::string &between = (*longer)[2];
  std::vector<ChatParts> candidates;
  auto cutBetween = [&](llvm::StringRef suffix) {
    parts.assistantSuffix = suffix.str();
    parts.userPrefix = between.substr(suffix.size());
    candidates.push_back(parts);
  };
  if (answered && (*answered)[1] == (*longer)[1]) {
    llvm::StringRef suffix = (*answered)[2];
    suffix.consume_back(parts.end);
    if (llvm::StringRef(between).starts_with(suffix))
      cutBetween(suffix);
  }
  size_t common = 0;
  while (common < between.size() && common < firstTurnHead.size() &&
         between[between.size() - 1 - common] == firstTurnHead[firstTurnHead.size() - 1 - common])
    ++common;
  cutBetween(llvm::StringRef(between).drop_back(common));
  return candidates;
}

bool Prober::isTrimmed(ChatRole role) const {
  std::string content = "\n  \x02x\x03 \n";
  Conversation conversation{{ChatRole::user, userMark}};
  if (role == ChatRole::user)
    conversation[0].content = content;
  else if (role == ChatRole::system)
    conversation.insert(conversation.begin(), {role, content});
  else
    conversation.insert(conversation.end(), {{role, content}, {ChatRole::user, secondUserMark}});
  RenderResult result = render(conversation, true);
  return !llvm::StringRef(result.text).contains(content);
}

/// Where the system message may go, the likeliest first; the caller tries them.
std::vector<ChatParts> Prober::placeSystem(const ChatParts &turns) const {
  std::vector<ChatParts> candidates;
  std::optional<Pieces> system =
      cut({{ChatRole::system, systemMark}, {ChatRole::user, userMark}}, true);
  if (!system) {
    ChatParts without = turns;
    without.begin = firstTurnHead;
    if (dropSuffix(without.begin, turns.userPrefix))
      candidates.push_back(without);
    return candidates;
  }
  const std::string &before = (*system)[0], &between = (*system)[1];

  ChatParts own = turns;
  own.trimSystem = isTrimmed(ChatRole::system);
  ChatParts inside = own;

  // begin | prefix SYSTEM suffix | user prefix USER
  own.placement = SystemPlacement::own_turn;
  own.systemSuffix = between;
  if (dropSuffix(own.systemSuffix, turns.userPrefix)) {
    std::string head = firstTurnHead;
    std::string preset = head;
    if (dropPrefix(preset, before) && dropSuffix(preset, between)) {
      own.systemPrefix = before;
      own.defaultSystem = preset;
      candidates.push_back(own);
    }
    std::string prefix = before;
    if (dropSuffix(head, turns.userPrefix) && dropPrefix(prefix, head)) {
      own.begin = head;
      own.systemPrefix = prefix;
      own.defaultSystem.reset();
      candidates.push_back(own);
    }
  }

  // begin | user prefix, prefix SYSTEM suffix, USER
  size_t userTurn = before.find(turns.userPrefix);
  if (userTurn == std::string::npos)
    return candidates;
  inside.begin = before.substr(0, userTurn);
  inside.systemPrefix = before.substr(userTurn + turns.userPrefix.size());
  inside.systemSuffix = between;
  std::string preset = firstTurnHead;
  bool hasPreset = firstTurnHead != inside.begin + turns.userPrefix;
  if (hasPreset && dropPrefix(preset, before) && dropSuffix(preset, between))
    inside.defaultSystem = preset;
  for (bool trim : {inside.trimSystem, false})
    for (bool alone : {false, true})
      for (SystemPlacement placement :
           {SystemPlacement::first_user_turn, SystemPlacement::last_user_turn}) {
        inside.trimSystem = trim;
        inside.trimUserAlone = alone;
        inside.placement = placement;
        candidates.push_back(inside);
      }
  return candidates;
}

/// Whether the runtime renders all probe conversations as the template does.
bool Prober::reproduces(const ChatParts &parts) const {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(parts.serialize("probe", builder));
  const auto *chat = flatbuffers::GetRoot<fb::ChatTemplate>(builder.GetBufferPointer());

  const Message system{ChatRole::system, "You are terse.\nVery."},
      spacedSystem{ChatRole::system, "\n  spaced system \t\n"}, user{ChatRole::user, "Why?"},
      spacedUser{ChatRole::user, " \n spaced  user\n\n"},
      answer{ChatRole::assistant, "Because.\n\nReally"},
      spacedAnswer{ChatRole::assistant, "\t spaced answer \n"};
  Conversation probes[] = {{user},
                           {spacedUser},
                           {user, answer, user},
                           {spacedUser, spacedAnswer, spacedUser},
                           {user, answer, user, spacedAnswer, spacedUser, answer, user}};
  for (const Conversation &conversation : probes)
    for (const Message *first : {(const Message *)nullptr, &system, &spacedSystem}) {
      if (first && parts.placement == SystemPlacement::unsupported)
        continue;
      Conversation probe = conversation;
      if (first)
        probe.insert(probe.begin(), *first);
      std::vector<text::ChatMessage> messages;
      for (const Message &message : probe)
        messages.push_back({message.role, message.content});
      for (bool askForReply : {true, false}) {
        RenderResult expected = render(probe, askForReply);
        text::ChatText rendered;
        Status status =
            text::renderChat(chat, messages.data(), messages.size(), askForReply, rendered);
        if (expected.outcome != RenderResult::Outcome::rendered || !status.isOk() ||
            expected.text != rendered.view())
          return false;
      }
    }
  return true;
}

std::optional<ChatParts> Prober::probe() {
  for (const ChatParts &turns : findTurns())
    for (const ChatParts &candidate : placeSystem(turns))
      if (reproduces(candidate))
        return candidate;
  fail("it does more than put text around messages");
  return std::nullopt;
}

/// The family's name, for reports only.
static llvm::StringRef familyOf(llvm::StringRef source) {
  static const std::pair<llvm::StringRef, llvm::StringRef> signatures[] = {
      {"<|im_start|>", "chatml"},
      {"<|start_header_id|>", "llama-3"},
      {"<<SYS>>", "llama-2"},
      {"[INST]", "mistral"},
      {"<start_of_turn>", "gemma"},
      {"### Instruction:", "alpaca"},
      {"<|END_OF_TURN_TOKEN|>", "command-r"},
      {"<|start_of_role|>", "granite"},
      {"<｜User｜>", "deepseek"},
      {"<|end|>", "phi-3"},
      {"<|user|>", "zephyr"},
  };
  for (auto [signature, family] : signatures)
    if (source.contains(signature))
      return family;
  return "custom";
}

flatbuffers::Offset<fb::ChatTemplate>
tern::buildChatTemplate(llvm::StringRef source, llvm::StringRef bosToken, llvm::StringRef eosToken,
                        flatbuffers::FlatBufferBuilder &builder) {
  auto none = [&](const std::string &reason) {
    return fb::CreateChatTemplate(builder, 0, builder.CreateString(reason));
  };
  if (source.empty())
    return none("the model file has none");
  if (source.size() > maxSourceBytes)
    return none("the model's template is too long");
  llvm::Expected<std::vector<jinja::Statement>> statements = jinja::parse(source);
  if (!statements)
    return none("the model's template is not understood: " +
                llvm::toString(statements.takeError()));
  Prober prober(*statements, bosToken, eosToken);
  if (std::optional<ChatParts> parts = prober.probe())
    return parts->serialize(familyOf(source), builder);
  return none("the model's template is not usable: " + prober.reason);
}
