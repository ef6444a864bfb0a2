# SPDX-License-Identifier: Apache-2.0
# Runs after the installation into the package's tree, CPACK_TEMPORARY_INSTALL_DIRECTORY.
set(tree ${CPACK_TEMPORARY_INSTALL_DIRECTORY})
file(COPY ${CMAKE_CURRENT_LIST_DIR}/agent.yaml ${CMAKE_CURRENT_LIST_DIR}/driver.yaml DESTINATION ${tree}/etc/openshell-agent
     FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
file(RENAME ${tree}/usr/share/zsh/site-functions ${tree}/usr/share/zsh/vendor-completions)
file(GLOB pages ${tree}/usr/share/man/man*/*.[18])
foreach(page ${pages})
  execute_process(COMMAND gzip -9n ${page} COMMAND_ERROR_IS_FATAL ANY)
endforeach()

# What is inside the programs, which the installation has stripped already.
list(GET CPACK_INSTALL_CMAKE_PROJECTS 0 build)
execute_process(
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/../scripts/sbom.py ${tree}/usr/bin/openshell-agent
          ${tree}/usr/bin/openshell-agentctl ${tree}/usr/bin/openshell-driver --build ${build} --version ${CPACK_PACKAGE_VERSION}
          --output ${tree}/usr/share/doc/openshell-agent/sbom.spdx.json
          --licences ${tree}/usr/share/doc/openshell-agent/licences.txt
  COMMAND_ERROR_IS_FATAL ANY)
