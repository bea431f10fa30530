// The picture of docs/architecture.md, checked: which folder may include which, and which foreign
// headers live in one place only. Scans every #include line of ours.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

// A folder may include itself and what stands here. A row with a slash is more special than one
// without.
struct FolderRow {
  std::string_view folder;
  std::vector<std::string_view> may_include;
};

const FolderRow kFolders[] = {
    {"base", {}},
    {"store", {"base"}},
    {"registry", {"base", "store"}},
    {"kernels", {"base"}},
    {"runner", {"base", "kernels"}},
    {"modelfiles", {"base", "runner/checkpoint"}},
    {"cmd", {"base", "store", "registry", "kernels", "runner", "modelfiles"}},
    {"tests", {"base", "store", "registry", "kernels", "runner", "modelfiles", "cmd"}},
};

// A foreign header may be included in files whose path starts with one of these, nowhere else.
// The header's name is matched from its beginning.
struct ForeignRow {
  std::string_view header;
  std::vector<std::string_view> only_in;
};

const ForeignRow kForeign[] = {
    {"curl/", {"registry/http.cc"}},
    {"sqlite3.h", {"store/"}},
    {"httplib.h", {"cmd/", "tests/"}},
    {"CLI/", {"cmd/"}},
    {"pcre2", {"base/pattern.cc"}},
    {"histedit.h", {"cmd/cli/line_editor.cc"}},
    {"cuda", {"kernels/cuda/", "kernels/device/"}},
    {"nccl", {"kernels/cuda/", "kernels/device/"}},
    {"gtest/", {"tests/"}},
    {"gmock/", {"tests/"}},
};

struct Include {
  std::string file;  // root-relative
  int line;
  std::string header;
  bool ours;  // "…", not <…>
};

std::string_view top_folder(std::string_view path) {
  return path.substr(0, path.find('/'));
}

bool is_source(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".h" || extension == ".cc" || extension == ".cu" || extension == ".cuh";
}

std::vector<Include> includes_of(const fs::path& root, const fs::path& file) {
  std::vector<Include> found;
  std::ifstream stream(file);
  std::string line;
  for (int number = 1; std::getline(stream, line); ++number) {
    std::size_t at = line.find_first_not_of(" \t");
    if (at == std::string::npos || line[at] != '#') continue;
    at = line.find_first_not_of(" \t", at + 1);
    if (at == std::string::npos || line.compare(at, 7, "include") != 0) continue;
    at = line.find_first_of("\"<", at);
    if (at == std::string::npos) continue;
    const char close = line[at] == '"' ? '"' : '>';
    const std::size_t end = line.find(close, at + 1);
    if (end == std::string::npos) continue;
    found.push_back({.file = fs::relative(file, root).generic_string(),
                     .line = number,
                     .header = line.substr(at + 1, end - at - 1),
                     .ours = close == '"'});
  }
  return found;
}

std::vector<Include> all_includes() {
  const fs::path root = GLM_SOURCE_DIR;
  std::vector<Include> all;
  for (const FolderRow& row : kFolders) {
    if (!fs::exists(root / row.folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / row.folder)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      for (Include& include : includes_of(root, entry.path())) all.push_back(std::move(include));
    }
  }
  return all;
}

bool allowed(const FolderRow& row, std::string_view header) {
  if (top_folder(header) == row.folder) return true;
  return std::any_of(row.may_include.begin(), row.may_include.end(), [&](std::string_view folder) {
    return header.starts_with(folder) && header.substr(folder.size()).starts_with('/');
  });
}

const FolderRow* folder_row(std::string_view path) {
  for (const FolderRow& row : kFolders) {
    if (row.folder == top_folder(path)) return &row;
  }
  return nullptr;
}

std::string place(const Include& include) {
  return include.file + ":" + std::to_string(include.line) + ": #include of " + include.header;
}

TEST(Layering, FindsTheSources) {
  EXPECT_GT(all_includes().size(), 50u);
}

TEST(Layering, EveryIncludeOfOursIsRootRelative) {
  for (const Include& include : all_includes()) {
    if (!include.ours) continue;
    EXPECT_NE(folder_row(include.header), nullptr) << place(include);
  }
}

TEST(Layering, FoldersIncludeOnlyWhatTheirRowNames) {
  for (const Include& include : all_includes()) {
    if (!include.ours) continue;
    EXPECT_TRUE(allowed(*folder_row(include.file), include.header)) << place(include);
  }
}

TEST(Layering, ForeignHeadersStayInTheirPlace) {
  for (const Include& include : all_includes()) {
    if (include.ours) continue;
    for (const ForeignRow& row : kForeign) {
      if (!std::string_view(include.header).starts_with(row.header)) continue;
      const bool here =
          std::any_of(row.only_in.begin(), row.only_in.end(),
                      [&](std::string_view prefix) { return include.file.starts_with(prefix); });
      EXPECT_TRUE(here) << place(include);
    }
  }
}

}  // namespace
