# SPDX-License-Identifier: Apache-2.0
# Texts that a program prints about itself from its tables, made once at the build and installed:
#   osa_man_page(TARGET SECTION)     TARGET man > share/man/manSECTION/TARGET.SECTION
#   osa_completions(TARGET)          TARGET completion bash|zsh|fish, where each shell looks
# A cross build cannot run its programs; it installs no such texts.
# Debian's own packages use zsh/vendor-completions, which its zsh does not search below /usr/local.
set(OSA_ZSH_COMPLETIONS zsh/site-functions CACHE STRING "Folder of zsh completions below share/")

function(osa_text target file)
  set(path ${CMAKE_BINARY_DIR}/share/${file})
  cmake_path(GET path PARENT_PATH folder)
  file(MAKE_DIRECTORY ${folder})
  add_custom_command(OUTPUT ${path}
    COMMAND ${target} ${ARGN} > ${path}.new && mv ${path}.new ${path}
    DEPENDS ${target} COMMENT "Writing share/${file}" VERBATIM)
  string(MAKE_C_IDENTIFIER ${file} name)
  add_custom_target(osa_text_${name} ALL DEPENDS ${path})
  cmake_path(GET file PARENT_PATH folder)
  install(FILES ${path} DESTINATION ${CMAKE_INSTALL_DATADIR}/${folder})
endfunction()

function(osa_man_page target section)
  if(NOT CMAKE_CROSSCOMPILING)
    osa_text(${target} man/man${section}/${target}.${section} man)
  endif()
endfunction()

function(osa_completions target)
  if(NOT CMAKE_CROSSCOMPILING)
    osa_text(${target} bash-completion/completions/${target} completion bash)
    osa_text(${target} ${OSA_ZSH_COMPLETIONS}/_${target} completion zsh)
    osa_text(${target} fish/vendor_completions.d/${target}.fish completion fish)
  endif()
endfunction()
