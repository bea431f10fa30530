// What a hostile or odd listing may not do: paths, messages, and the choice of files.
#include <gtest/gtest.h>

#include "registry/redact.h"
#include "registry/safe_path.h"
#include "registry/select_files.h"

namespace glm::registry {
namespace {

TEST(SafePath, KeepsInsideTheRepository) {
  for (const char* path : {"config.json", "a/b/c.json", "model-00001-of-00002.safetensors",
                           "weights#1 (copy)+%20?.bin", "\xC3\xA9t\xC3\xA9.txt", ".gitattributes",
                           "a..b", "..."}) {
    if (std::string(path) == "...") {
      EXPECT_FALSE(check_path(path).ok());
      continue;
    }
    EXPECT_TRUE(check_path(path).ok()) << path;
  }
  for (const std::string& path : std::initializer_list<std::string>{
           "", "/etc/x", "../x", "a/../../x", "a/..", "..\\x", "a\\..\\b", "C:\\x", "C:x", "//server",
           "a//b", "a/", "./a", "a/.", std::string("a\0b", 3), "a\nb", "a\x1b[31m", "a\x7f", "\xff",
           "\xC0\xAF", "\xED\xA0\x80", "a ", "a.", std::string(256, 'x'),
           std::string(4097, 'x')}) {
    const Status checked = check_path(path);
    ASSERT_FALSE(checked.ok()) << path;
    EXPECT_EQ(checked.error().code, Errc::corrupt);
    for (const char c : checked.error().message) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  }
}

TEST(Redact, HidesSignaturesAndUsers) {
  EXPECT_EQ(redact_url("https://h/x?Signature=secret&a=b"), "https://h/x?…");
  EXPECT_EQ(redact_url("https://user:pw@h/x"), "https://h/x");
  EXPECT_EQ(redact_url("https://h/a@b"), "https://h/a@b");
  EXPECT_EQ(printable("a\x1b[31mb\xC2\x9B"), "a?[31mb??");
}

Snapshot listing(std::initializer_list<const char*> paths) {
  Snapshot snapshot;
  snapshot.repository = "org/name";
  for (const char* path : paths) {
    RemoteFile file;
    file.path = path;
    file.size_bytes = 10;
    snapshot.files.push_back(file);
  }
  return snapshot;
}

std::string names(const std::vector<RemoteFile>& files) {
  std::string out;
  for (const RemoteFile& file : files) out += (out.empty() ? "" : " ") + file.path;
  return out;
}

TEST(SelectFiles, TakesWhatARunnerReadsAndNothingElse) {
  const Snapshot snapshot = listing(
      {"config.json", "modeling_evil.py", "pytorch_model.bin", "model.safetensors", "image.png",
       "original/consolidated.safetensors", "tokenizer.json", "LICENSE.txt", ".gitattributes",
       "chat_template.jinja", "onnx/model.onnx", "additional_chat_templates/tool.jinja",
       "sub/LICENSE"});
  EXPECT_EQ(names(*select_small(snapshot)),
            "config.json tokenizer.json LICENSE.txt chat_template.jinja "
            "additional_chat_templates/tool.jinja");
  EXPECT_EQ(names(*select_weights(snapshot, "")), "model.safetensors");
}

TEST(SelectFiles, FollowsTheIndex) {
  const Snapshot snapshot = listing({"config.json", "model-1.safetensors", "model-2.safetensors",
                                     "consolidated.safetensors", "mtp.safetensors", "x/y.safetensors"});
  EXPECT_EQ(names(*select_weights(
                snapshot, R"({"weight_map": {"a": "model-2.safetensors", "b": "x/y.safetensors"}})")),
            "model-2.safetensors mtp.safetensors x/y.safetensors");
  for (const char* index :
       {"", "{", "[]", "{}", R"({"weight_map": []})", R"({"weight_map": {}})",
        R"({"weight_map": {"a": 1}})", R"({"weight_map": {"a": "missing.safetensors"}})",
        R"({"weight_map": {"a": "../model-1.safetensors"}})", R"({"weight_map": {"a": "config.json"}})"}) {
    EXPECT_FALSE(select_weights(snapshot, index).ok()) << index;
  }
}

TEST(SelectFiles, SaysWhatToPullInstead) {
  EXPECT_EQ(select_small(listing({"model.gguf", "config.json"})).error().message,
            "org/name has no safetensors weights: it holds GGUF files; pull the safetensors "
            "repository it was made from");
  EXPECT_EQ(select_small(listing({"pytorch_model.bin", "config.json"})).error().message,
            "org/name has no safetensors weights: it holds pickled PyTorch files, which can run code "
            "and are never opened; pull a safetensors repository");
  EXPECT_EQ(select_small(listing({"model.safetensors"})).error().message,
            "org/name has no config.json: glm reads safetensors checkpoints");
  EXPECT_EQ(select_small(listing({"model.safetensors", "config.json", "config.json"})).error().message,
            "org/name lists config.json twice");
}

}  // namespace
}  // namespace glm::registry
