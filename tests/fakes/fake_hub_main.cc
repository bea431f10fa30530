// fake_hub --root FOLDER [--port N]: serves each FOLDER/<org>/<name>/ as a model repository, prints
// the hub's address on a line of its own, and runs until it is killed.
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string_view>

#include "tests/fakes/fake_hub.h"

namespace {

struct Args {
  std::filesystem::path root;
  int port = 0;
};

bool parse(int argc, char** argv, Args& args) {
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) return false;
    if (name == "--root") {
      args.root = argv[i + 1];
    } else if (name == "--port") {
      args.port = std::atoi(argv[i + 1]);
    } else {
      return false;
    }
  }
  return std::filesystem::is_directory(args.root);
}

bool is_repository(const std::filesystem::directory_entry& entry) {
  return entry.is_directory() && entry.path().filename().string().front() != '.';
}

int serve(const Args& args) {
  glm::fakes::FakeHub hub({.port = args.port});
  for (const auto& organisation : std::filesystem::directory_iterator(args.root)) {
    if (!is_repository(organisation)) continue;
    for (const auto& model : std::filesystem::directory_iterator(organisation)) {
      if (!is_repository(model)) continue;
      hub.add_folder(model.path().lexically_relative(args.root).generic_string(), model.path());
    }
  }
  std::printf("%s\n", hub.url().c_str());
  std::fflush(stdout);
  while (true) ::pause();
}

}  // namespace

int main(int argc, char** argv) {
  Args args;
  if (!parse(argc, argv, args)) {
    std::fprintf(stderr, "usage: fake_hub --root FOLDER [--port N]\n");
    return 2;
  }
  try {
    return serve(args);
  } catch (const std::exception& error) {  // the file system's
    std::fprintf(stderr, "fake_hub: %s\n", error.what());
    return 1;
  }
}
